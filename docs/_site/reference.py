"""Pages of the reference, from the parsers of the commands, the dataclasses of a recipe and the names of the API."""

import os

from medcl.api import COMMANDS
from medcl.commands import recipe_help
from medcl.commands.parsers import parser_of

STATISTICS = ("metrics", "intervals", "calibration", "survival", "label_maps")


def commands() -> str:
    """Every command with its help."""
    parts = [
        "# Commands\n",
        "What `medcl COMMAND --help` tells; each is a function of the same name: `medcl.scan(...)`.\n",
    ]
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "110"
    try:
        for name, command in COMMANDS.items():
            text = parser_of(command).format_help().strip()
            parts.append(f"## {name}\n\n```text\n{text}\n```\n")
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    parts.append("Settings of a recipe are flags of `pretrain`, `prepare` and `tune` too: see [Settings](recipe.md).\n")
    return "\n".join(parts)


def recipe() -> str:
    """Every setting of a recipe with its default."""
    told = "# Settings of a recipe\n\nEach is a flag too: `--objectives.trial.weight 0.5`. What they are for is in "
    told += "[Write a recipe](../recipes.md).\n"
    for block in recipe_help.everything().split("\n\n"):
        title, *lines = block.splitlines()
        name, _, what = title.partition(": ")
        told += f"\n## {name}\n\n{what}\n\n| setting | meaning |\n|---|---|\n"
        for line in lines:
            setting, _, meaning = line.strip().partition(": ")
            told += f"| `{setting}` | {_cell(meaning)} |\n"
    return told


def python() -> str:
    """The functions of the commands, classes of embeddings, losses, pairings, similarities and statistics."""
    from medcl.contrast import LOSSES, PAIRINGS

    groups = {
        "Commands as functions": [f"{one.__module__}.{name}" for name, one in COMMANDS.items()],
        "Embeddings and models": [
            "medcl.embed.embedder.Embedder",
            "medcl.explore.embeddings.Embeddings",
            "medcl.commands.prediction.load",
        ],
        "Losses": [f"{loss.__module__}.{name}" for name, loss in LOSSES.items()],
        "Pairings": [f"{pairing.__module__}.{name}" for name, pairing in PAIRINGS.items()],
        "Similarities": [f"medcl.contrast.similarities.{name}" for name in ("similarity", "late", "multimodal")],
        "Statistics": [f"medcl.stats.{name}" for name in STATISTICS],
    }
    told = "# Python\n\nWhat a program may call. Shapes, units and what is raised stand with each name.\n"
    for title, names in groups.items():
        told += f"\n## {title}\n"
        for name in names:
            told += f"\n::: {name}\n    options:\n      heading: {_called(name)}\n"
    return told


def _called(name: str) -> str:
    """By which name a program calls it: that of the package that exports it."""
    words = name.split(".")
    if words[1] == "contrast" and words[2] != "similarities":
        return f"medcl.contrast.{words[-1]}"
    return name if words[1] in ("stats", "contrast") else f"medcl.{words[-1]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
