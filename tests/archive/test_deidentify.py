"""What identifies a person goes from reports, what a physician needs stays; measured on written examples."""

import re
import sys
import time
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.archive.deidentify import KINDS, Found, deidentify, find, load_deidentifier
from medcl.errors import UsageError
from tests.archive.deid_examples import HELD_OUT, TUNED

MARK = re.compile(r"\{([A-Z]+):([^}]*)\}")


def unmark(example: str) -> tuple[str, list[Found]]:
    """The sentence, and where what is marked in it stands."""
    text, gold, place = "", [], 0
    for match in MARK.finditer(example):
        text += example[place : match.start()]
        gold.append(Found(len(text), len(text) + len(match[2]), match[1]))
        text += match[2]
        place = match.end()
    return text + example[place:], gold


def score(examples: tuple[str, ...]) -> tuple[Counter[str], list[str]]:
    """Counts by kind, and every mistake.

    What is marked counts as found when nothing of it is left, whatever it is called; what is replaced counts as right
    when it holds nothing but what is marked.
    """
    counts: Counter[str] = Counter()
    mistakes = []
    for example in examples:
        text, gold = unmark(example)
        found = find(text)
        letters = {place for place, character in enumerate(text) if character.isalnum()}
        covered = {place for one in found for place in range(one.start, one.end)}
        marked = {place for one in gold for place in range(one.start, one.end)}
        for one in gold:
            hit = letters & set(range(one.start, one.end)) <= covered
            counts[f"{one.kind} gold"] += 1
            counts[f"{one.kind} hit"] += hit
            mistakes += [] if hit else [f"missed {one.kind}: {example}"]
        for one in found:
            right = letters & set(range(one.start, one.end)) <= marked
            counts[f"{one.kind} found"] += 1
            counts[f"{one.kind} right"] += right
            mistakes += [] if right else [f"wrong {one.kind} {text[one.start : one.end]!r}: {example}"]
    return counts, mistakes


@pytest.mark.parametrize("name", ["tuned", "held out"])
def test_precision_and_recall_on_written_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = {"tuned": TUNED, "held out": HELD_OUT}[name]
    counts, mistakes = score(examples)
    for outcome in ("gold", "hit", "found", "right"):
        counts[f"all {outcome}"] = sum(counts[f"{kind} {outcome}"] for kind in KINDS)
    with capsys.disabled():
        print(f"\nde-identification, {len(examples)} {name} sentences")
        for kind in (*KINDS, "all"):
            hit, gold = counts[f"{kind} hit"], counts[f"{kind} gold"]
            right, found = counts[f"{kind} right"], counts[f"{kind} found"]
            print(f"  {kind:<8} recall {hit:>3}/{gold:<3}  precision {right:>3}/{found:<3}")
        print(*(f"  {mistake}" for mistake in mistakes), sep="\n")
    assert counts["all hit"] >= 0.95 * counts["all gold"]
    assert counts["all right"] >= 0.9 * counts["all found"]


def test_there_are_enough_examples_of_each_kind() -> None:
    marks = Counter(one.kind for example in TUNED + HELD_OUT for one in unmark(example)[1])
    assert set(marks) == set(KINDS)
    assert len(TUNED) >= 60
    assert len(HELD_OUT) >= 30
    assert not set(TUNED) & set(HELD_OUT)


@pytest.mark.parametrize(
    "text",
    [
        "Swan-Ganz catheter, Hill-Sachs lesion, Hodgkin, McBurney, Schatzker II, Salter-Harris III",
        "C5-C6, T2, L4/5, V1-V6, 3/5, 2.5 cm, 1.2 x 3.4 x 5.6 mm, 120/80 mmHg, 55-60 %, 1/4",
        "sinusrhythmus linkstyp normales ekg",
        "MR. Findings as on CT. MS plaques. May 2 lesions be seen? In 2015.",
        "In march 3 lesions, in may 2.",
        "Frau im Alter von 67 Jahren",
        "",
    ],
)
def test_what_must_stay(text: str) -> None:
    assert deidentify(text) == text or text.startswith("MR.")
    assert "[NAME]" not in deidentify(text)


def test_placeholders() -> None:
    assert (
        deidentify("Dr. Smith saw Frau Dr. Grün on 3. April 2019, MRN 1234567, j@x.org.")
        == "Dr. [NAME] saw Frau Dr. [NAME] on [DATE], MRN [ID], [EMAIL]."
    )


def test_known_names_and_ids_go_wherever_they_stand() -> None:
    known = ("Muster^Änne Maria", "MRN0012345678", "A77-x", "12", "O'Neil, Pat")
    text = "muster came. ÄNNE's MRI. Aenne, MRN0012345678 = 12345678, a77-X, 12 mm, Musterung, Marian, Maria_2, O'Neil"
    assert deidentify(text, known) == (
        "[NAME] came. [NAME]'s MRI. [NAME], [ID] = [ID], [ID], 12 mm, Musterung, Marian, [NAME]_2, [NAME]"
    )


def test_a_decomposed_name_is_the_same_name() -> None:
    assert deidentify("A\u0308nne kam", ["Änne"]) == "[NAME] kam"
    assert deidentify("Änne kam", ["A\u0308nne"]) == "[NAME] kam"


def test_a_name_that_is_a_word_goes_only_where_it_is_written_as_a_name() -> None:
    assert deidentify("Small has a small cyst, SMALL", ["Small^Ann"]) == "[NAME] has a small cyst, [NAME]"


WORDS = st.sampled_from(
    [
        "Dr.",
        "Frau",
        "Name:",
        "Smith",
        "3.",
        "April",
        "2019",
        "03/04/2019",
        "12345678",
        "MRN",
        "2.5",
        "cm",
        "[NAME]",
        "\n",
    ]
    + ["by", "signed", "A1234567", ",", "MD", "(555) 123-4567", "95", "years", "old", "von", "No", "x@y.de", "Tel."]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=20).map(" ".join))


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_nothing_but_what_was_found_changes(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    found = find(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    kept, place = [], 0
    for one in found:
        kept += [text[place : one.start], f"[{one.kind}]"]
        place = one.end
    assert deidentify(text) == "".join([*kept, text[place:]])
    assert all(text[one.start : one.end].strip() for one in found)


@given(st.text(alphabet=st.characters(categories=["L", "Nd"]), min_size=4, max_size=12), TEXTS, TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_known_id_never_stays(name: str, before: str, after: str) -> None:
    name = "7X" + unicodedata.normalize("NFC", name)
    assert name not in deidentify(f"{before} {name} {after}", [name])


def test_long_and_hostile_texts_take_no_time() -> None:
    start = time.perf_counter()
    line = "Dr. Smith saw the patient on 03/04/2019. The mass measures 2.5 cm in segment 4. "
    assert deidentify(line * 1500).count("[NAME]") == 1500
    for piece in ("A", "1", "1.", "a.", "A ", "1 ", "Dr. ", "A-", "(", "+1 ", "O'", "x@", "von ", "1/"):
        deidentify(piece * 5000)
    assert time.perf_counter() - start < 20


def test_a_function_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strict_hook.py").write_text("def clean(text, known):\n    return text.replace('x', '[NAME]')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_deidentifier("strict_hook:clean")("x y", ()) == "[NAME] y"
    for wrong in ("strict_hook", "strict_hook:", ":clean", "strict_hook:none", "no_such_module_here:clean"):
        with pytest.raises(UsageError, match="de-identifier"):
            load_deidentifier(wrong)
    sys.modules.pop("strict_hook", None)
