import errno
import json
import tomllib
from pathlib import Path

import pytest
import yaml

from medcl.errors import (
    _EXTRAS,
    UnreadableError,
    cause,
    did_you_mean,
    nearest,
    no_such,
    not_installed,
    quoted,
    reason,
    system_reason,
)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Smith_Jane 1950-02-03"),
        KeyError("Smith_Jane"),
        FileNotFoundError(errno.ENOENT, "No such file", "/archive/Smith_Jane.edf"),
        OSError("Smith_Jane"),
        UnicodeDecodeError("utf-8", b"Smith_Jane\xff", 10, 11, "Smith_Jane"),
        MemoryError("Smith_Jane"),
    ],
)
def test_a_reason_never_passes_on_the_text_of_a_foreign_error(error):
    for told in (reason(error), cause(error)):
        assert "Smith" not in told
        assert "1950" not in told
        assert len(told) > 8


@pytest.mark.parametrize("read", [json.loads, yaml.safe_load])
def test_what_breaks_a_grammar_is_told_by_its_place(read):
    with pytest.raises(Exception, match="line 2") as error:
        read('{"name":\n "Smith_Jane" "1950-02-03"}')
    assert cause(error.value) == "line 2, column 15 breaks the grammar"


def test_a_reason_of_ours_stays_as_it_is():
    assert reason(UnreadableError("truncated file: 3 of 8 bytes")) == "truncated file: 3 of 8 bytes"


def test_the_operating_system_is_told_in_words():
    assert system_reason(OSError(errno.ENOSPC, "No space left on device")) == "the disk is full"
    assert system_reason(OSError(errno.ENXIO, "strange")) == "the operating system refuses it (ENXIO)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("250", True), ("-1.5e-3", True), ("MONOCHROME2", True), ("Smith", False), ("19500203", False), ("", False)],
)
def test_only_numbers_and_known_terms_are_quoted(text, shown):
    assert (text in quoted(text, ("MONOCHROME2",)) and text != "") == shown


def test_the_nearest_word_is_found_whatever_its_case_and_dashes() -> None:
    known = ["record_id", "diagnosis", "age", "PatientSex"]
    assert nearest("diagosis", known) == "diagnosis"
    assert nearest("record-id", known) == "record_id"
    assert nearest("patientsex", known) == "PatientSex"
    assert nearest("sex", known) == "PatientSex", "a part of one word alone"
    assert nearest("zzz", known) is None


def test_an_error_ends_with_the_nearest_word_or_with_none() -> None:
    assert did_you_mean("agee", ["age"]) == "; did you mean 'age'?"
    assert did_you_mean("zzz", ["age"]) == ""
    assert no_such("column", "agee", ["age", "sex"]) == "no column 'agee'; there are 'age', 'sex'; did you mean 'age'?"
    assert no_such("column", "x", []) == "no column 'x'; there are none"
    assert no_such("column", "x", map(str, range(30))).endswith("'19' and 10 more")


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("wandb", "x needs the package wandb, which is not installed: `pip install 'medcl[wandb]'`"),
        ("pypdf.errors", "x needs the package pypdf, which is not installed: `pip install 'medcl[reports]'`"),
        ("umap", "x needs the package umap-learn, which is not installed: `pip install umap-learn`"),
    ],
)
def test_an_optional_package_is_asked_for_with_its_command(module: str, told: str) -> None:
    assert not_installed(module, "x") == told
    assert reason(ImportError(name=module)) == told.removeprefix("x ")


def test_every_extra_that_is_asked_for_is_one_of_the_project() -> None:
    extras = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert {*_EXTRAS.values()} <= {*extras["optional-dependencies"]}
