"""What is drawn from a report: its sentences, its sections, or all of it."""

from collections.abc import Sequence
from typing import Any

from medcl.errors import UsageError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.text import canonical, sections, sentences


def check(config: TextConfig) -> None:
    """Whether the settings can be meant.

    Raises:
        UsageError: they cannot.
    """
    if config.draw not in ("sentence", "section", "whole"):
        raise UsageError(f"data.draw {config.draw!r}: one of sentence, section, whole")
    if config.length < 3:
        raise UsageError(f"data.length {config.length}: at least 3 tokens, of which the first and the last are special")
    if config.words < 1:
        raise UsageError(f"data.words {config.words}: a sentence has at least 1 word")
    if any(not name.strip() for name in config.sections):
        raise UsageError("data.sections: the name of a section is not empty; leave the list empty to take all of them")


def settings(config: TextConfig) -> dict[str, Any]:
    """What of the settings changes the draws: two configurations with the same make the same of every report."""
    return {
        "draw": config.draw,
        "sections": sorted({_plain(name) for name in config.sections}),
        "length": config.length,
        "words": config.words if config.draw == "sentence" else None,
    }


def draws(text: str, config: TextConfig) -> list[str] | str:
    """Divide a report.

    Args:
        text: of the report.
        config: what a draw is, and which sections count; case and space in their names do not matter.

    Returns:
        The texts that can be drawn, in the order of the report; or the reason why there is none.
    """
    if not text.strip():
        return "empty report"
    if config.draw == "whole" and not config.sections:
        return [text.strip()]
    found = sections(text)
    if config.sections:
        wanted = {_plain(name) for name in config.sections}
        found = {name: body for name, body in found.items() if _plain(name) in wanted}
    found = {name: body for name, body in found.items() if body.strip()}
    if not found:
        asked = ", ".join(config.sections)
        return f"no text in a section {asked}" if asked else "no text but headings"
    if config.draw == "whole":
        return [canonical(found)]
    if config.draw == "section":
        return [body.strip() for body in found.values()]
    return [sentence for body in found.values() for sentence in joined(sentences(body), config.words)]


def joined(parts: Sequence[str], words: int) -> list[str]:
    """Join sentences of fewer than `words` words to the one before; the first one to the one behind it."""
    found: list[str] = []
    for part in parts:
        alone = len(found) == 1 and len(found[0].split()) < words
        if found and (alone or len(part.split()) < words):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found


def _plain(name: str) -> str:
    return " ".join(name.strip().rstrip(":").casefold().split())
