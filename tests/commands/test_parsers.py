"""Flags come from the functions behind the commands, and those of version 0.1 stay as they were."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from medcl.api import COMMANDS
from medcl.commands.parsers import parse, parser_of
from medcl.commands.recipes import of_words
from medcl.errors import UsageError

RENAMED = {"--of": "--kind", "--pictures": "--images"}
EMPTY = {"None": "[]", "['1%', '10%', '100%']": "[]", "['probe', 'knn', 'finetune']": "[]"}
"""Defaults that mean the same, of flags that take several words; two of `finetune` depend on the target by now."""
GONE = {"--protocols": {"pixels"}}
"""Choices that are those of another flag by now: `--baselines`."""


def flags() -> list[dict[str, str]]:
    with (Path(__file__).parent / "flags.tsv").open() as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_of_version_0_1_have_their_names_defaults_and_choices(command: str) -> None:
    parser = parser_of(COMMANDS[command])
    found = {" ".join(sorted(one.option_strings)) or one.dest: one for one in parser._actions}
    for old in (one for one in flags() if one["command"] == command and one["flag"] != "--deid-recipe"):
        new = found[RENAMED.get(old["flag"], old["flag"])]
        assert str(new.default) in (old["default"], EMPTY.get(old["default"])), old
        assert set(old["choices"].split()) - GONE.get(old["flag"], set()) <= set(new.choices or ()), old
        # What took one word by its place may take several by now.
        several = new.nargs == "+" and not new.option_strings
        assert new.nargs in (None, 0) or several or str(new.nargs) == old["words"], old
        assert new.required == bool(old["required"]), old


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_has_help_in_plain_words(command: str) -> None:
    for one in parser_of(COMMANDS[command])._actions:
        if "." not in one.dest:
            told = one.help or ""
            assert len(told) > 3, one.dest
            assert not told.lower().startswith(("how many", "which ", "where ", "whose ", "of ")), told


def test_an_old_spelling_is_accepted_and_not_listed() -> None:
    words = ["run", "--manifest", "m", "-o", "e", "--of", "signal"]
    assert parse(COMMANDS["embed"], words)["kind"] == "signal"
    assert parse(COMMANDS["embed"], [*words[:-2], "--of=report"])["kind"] == "report"
    shown = parse(COMMANDS["evaluate"], ["run", "--manifest", "m.parquet", "--pictures", "1"])
    assert shown["images"] == 1
    assert "--of" not in parser_of(COMMANDS["embed"]).format_help()


@dataclass(frozen=True)
class Settings:
    """Settings of a command.

    Args:
        level: unit of a row.
        labels: label fractions.
        size: never a flag, for the command has one of its own.
        made: never a flag, for words cannot give it.
    """

    level: Literal["window", "record"] = "record"
    labels: tuple[str, ...] = ("1%", "10%")
    size: int = 1
    made: "object | None" = None


def command(
    folder: Path,
    size: Annotated[tuple[float, float], ("LOW", "HIGH")] = (0.5, 1.0),
    *,
    k: int = 10,
    names: Annotated[Sequence[str], "NAME", "repeated"] = (),
    limit: float | str | None = None,
    most: int | None = 3,
    quick: bool = False,
    **settings: Annotated[Any, "tests.commands.test_parsers:Settings"],
) -> None:
    """Do something.

    In two paragraphs.

    Args:
        folder: folder that is read.
        size: range of sizes, 100% at most.
        k: number of results.
        names: names, one a flag.
        limit: a number, or a word.
        most: largest number, or `none`.
        quick: leave out what takes long.
        settings: of `Settings`.
    """


def test_a_signature_becomes_flags() -> None:
    given = parse(command, ["data"])
    assert given == {
        **{"folder": Path("data"), "size": (0.5, 1.0), "k": 10, "names": (), "limit": None, "most": 3},
        **{"quick": False, "level": "record", "labels": ("1%", "10%")},
    }
    words = ["--size", "1", "2", "-k", "3", "data", "--names", "a", "--names", "b", "--most", "none", "--quick"]
    given = parse(command, [*words, "--labels", "1%", "50", "--limit", "auto", "--level", "window"])
    assert given["size"] == (1.0, 2.0)
    assert given["names"] == ("a", "b")
    assert given["labels"] == ("1%", "50")
    assert (given["k"], given["most"], given["limit"], given["level"]) == (3, None, "auto", "window")
    assert parse(command, ["data", "--limit", "2.5"])["limit"] == 2.5
    told = parser_of(command).format_help()
    for part in ("Do something.", "In two paragraphs.", "--size LOW HIGH", "100% at most (default: 0.5 1.0)"):
        assert part in " ".join(told.split())
    assert "--made" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: folder"),
        (["data", "-k", "many"], "-k: 'many' is not a whole number"),
        (["data", "--most", "all"], "'all' is not a whole number or none"),
        (["data", "--level", "windwo"], "none of window, record; did you mean 'window'"),
        (["data", "--lebels", "1%"], "no flag '--lebels'; did you mean '--labels'"),
        (["data", "more"], "more"),
    ],
)
def test_wrong_words_are_told(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse(command, words)


def test_what_is_done_by_default_can_be_switched_off() -> None:
    found = [
        parse(COMMANDS["finetune"], ["run", "--manifest", "m", "--target", "y", *more])
        for more in ([], ["--no-scratch"])
    ]
    assert [one["scratch"] for one in found] == [True, False]


def test_several_numbers_behind_a_setting_are_a_list() -> None:
    words = ["--image.data.size", "32", "32", "--optimiser.steps", "20", "image_simclr", "--seed=3", "4.parquet"]
    rest, sources, settings = of_words(words, [])
    assert settings == {"image.data.size": [32, 32], "optimiser.steps": 20, "seed": 3}
    assert rest == ["image_simclr", "4.parquet"]
    assert sources == []


@pytest.mark.parametrize("words", [["--segment.mirror", "0"], ["--segment.mirror=0"], ["--segment.mirror", "[0]"]])
def test_one_number_behind_a_setting_of_several_is_a_list_of_one(words: list[str]) -> None:
    more = ["--segment.views.scale", "0.8", "1.2", "--segment.iterations", "5"]
    found = parse(COMMANDS["finetune"], [*words, *more, "run", "--manifest", "m", "--target", "y"])["segment"]
    assert (found.mirror, found.views.scale, found.iterations) == ((0,), (0.8, 1.2), 5)
