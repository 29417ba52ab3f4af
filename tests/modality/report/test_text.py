"""Sections and sentences of reports as hospitals write them, in several languages."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcl.modality.report.text import canonical, sections, sentences
from tests.growth import LINEAR, growth

MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough // r/o
 pneumonia

 COMPARISON:  None.

 FINDINGS:

 The heart is not enlarged and measures 12.5 cm, which is
 unchanged vs. the prior study.  No effusion.
 AVF: not applicable.

 IMPRESSION:

 1. No acute disease.
 2. Stable nodule of approx. 3 mm (seen by Dr. Smith).
"""


def test_sections_of_an_indented_report() -> None:
    found = sections(MIMIC)
    assert list(found) == ["EXAMINATION", "INDICATION", "COMPARISON", "FINDINGS", "IMPRESSION"]
    assert found["INDICATION"] == "___ year old woman with cough // r/o\npneumonia"
    assert found["FINDINGS"].endswith("No effusion.\nAVF: not applicable.")


def test_what_stands_before_the_first_heading_is_kept() -> None:
    assert sections("FINAL REPORT\n CHEST, TWO VIEWS\n HISTORY: cough")["FINAL REPORT"] == "CHEST, TWO VIEWS"
    assert sections("Dear colleague,\nImpression: fine") == {"": "Dear colleague,", "IMPRESSION": "fine"}
    assert sections("no heading at all") == {"": "no heading at all"}
    assert sections("") == sections(" \n\t") == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lungs clear. Impression: normal.", {"": "Lungs clear.", "IMPRESSION": "normal."}),
        ("Befund: unauffällig\nBeurteilung: gut", {"BEFUND": "unauffällig", "BEURTEILUNG": "gut"}),
        ("FINDINGS\nclear\nIMPRESSION\nnone", {"FINDINGS": "clear", "IMPRESSION": "none"}),
        ("LUNGS: clear\r\nHEART AND VESSELS: normal", {"LUNGS": "clear", "HEART AND VESSELS": "normal"}),
        ("CONCLUSION : a\nCONCLUSION: b", {"CONCLUSION": "a\nb"}),
        ("RECOMMENDATION(S): CT", {"RECOMMENDATION": "CT"}),
        ("LVEF: 55 %", {"": "LVEF: 55 %"}),
        ("V1: up\nthe findings: many", {"": "V1: up\nthe findings: many"}),
        ("Left lung: clear at 10:30", {"": "Left lung: clear at 10:30"}),
        ("FINDINGS:\nTECHNIQUE: CT", {"TECHNIQUE": "CT"}),
        ("Impresión: normal.\nRÉSULTATS: rien", {"IMPRESIÓN": "normal.", "RÉSULTATS": "rien"}),
    ],
)
def test_headings(text: str, expected: dict[str, str]) -> None:
    assert sections(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A mass of 2.5 cm. No oedema.", ["A mass of 2.5 cm.", "No oedema."]),
        ("Seen by Dr. Smith vs. Prof. Lee, e.g. today.", ["Seen by Dr. Smith vs. Prof. Lee, e.g. today."]),
        ("Z. n. Infarkt, z.B. inferior. Kein Erguss.", ["Z. n. Infarkt, z.B. inferior.", "Kein Erguss."]),
        ("Am 3. April operiert. Die 4. Rippe frei.", ["Am 3. April operiert.", "Die 4. Rippe frei."]),
        ("Image No. 3 of approx. 5. No change.", ["Image No. 3 of approx. 5.", "No change."]),
        ("Keine a.-v. Blockierung. Steiltyp.", ["Keine a.-v. Blockierung.", "Steiltyp."]),
        ("1. Cyst. 2. Stone in duct 1. No tumour.", ["1. Cyst.", "2. Stone in duct 1.", "No tumour."]),
        ("1) cyst\n2) stone\n- polyp", ["1) cyst", "2) stone", "- polyp"]),
        ("sinusrhythmus normales ekg", ["sinusrhythmus normales ekg"]),
        ("sinus rhythm. normal ecg.", ["sinus rhythm.", "normal ecg."]),
        ("The lungs\nare clear.\n\nHeart normal", ["The lungs are clear.", "Heart normal"]),
        ("Clear?! Yes. (No change.) Fine", ["Clear?!", "Yes.", "(No change.)", "Fine"]),
        ("No effusion.Heart normal", ["No effusion.", "Heart normal"]),
        ("Hepatitis B. Normal spleen.", ["Hepatitis B.", "Normal spleen."]),
        ("Signed J. Smith. MS. Old.", ["Signed J. Smith.", "MS.", "Old."]),
        ("両肺は正常。心臓は正常。", ["両肺は正常。", "心臓は正常。"]),
        ("IMPRESSION:\n\n1. Normal.\n2. Old.", ["IMPRESSION: 1. Normal.", "2. Old."]),
        ("Dose 2 mg i.v. bolus. No reaction.", ["Dose 2 mg i.v. bolus.", "No reaction."]),
        ("Rhythm [DATE]. [NAME] saw it.", ["Rhythm [DATE].", "[NAME] saw it."]),
        ("", []),
        ("...", ["..."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_of_an_indented_report() -> None:
    assert sentences(MIMIC)[4:] == [
        "FINDINGS: The heart is not enlarged and measures 12.5 cm, which is unchanged vs. the prior study.",
        "No effusion.",
        "AVF: not applicable.",
        "IMPRESSION: 1. No acute disease.",
        "2. Stable nodule of approx. 3 mm (seen by Dr. Smith).",
    ]


PIECES = st.sampled_from(
    [
        "2.5 cm",
        "Dr.",
        "vs.",
        "z.B.",
        "No",
        "3.",
        "Mai",
        "\n",
        "\r\n",
        "\n\n",
        ".",
        "? ",
        ": ",
        "IMPRESSION:",
        "Befund: ",
    ]
    + ["- ", "1) ", "Größe", "n'est", "肺。", "(", ")", '"', "a.-v.", "cyst", "THE", "\t", "\x85", "\u2028"]
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES).map("".join))
WORD = re.compile(r"\S+")


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_no_word_is_lost_or_moved(text: str) -> None:
    found = sentences(text)
    assert "".join(WORD.findall(text)) == "".join(WORD.findall(" ".join(found)))
    assert all(sentence == " ".join(sentence.split()) != "" for sentence in found)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_canonical_text_keeps_the_words_of_all_sections(text: str) -> None:
    found = sections(text)
    assert (
        canonical(found).split() == " ".join(f"{key}: {body}" if key else body for key, body in found.items()).split()
    )


HEADS = st.sampled_from(["FINDINGS", "IMPRESSION", "BEFUND", "CASE DIAGNOSIS", "ECG", "LEFT LUNG", "RÉSULTATS"])
LINES = st.lists(
    st.sampled_from(["No change.", "3 cm", "1. Größe", "is vs. was", "", "AVF: up", "at 10:30"]), max_size=5
)


@given(st.dictionaries(HEADS, LINES.map("\n".join), max_size=4), LINES.map("\n".join))
@settings(max_examples=200, deadline=None)
def test_sections_of_canonical_text_are_the_same(found: dict[str, str], preamble: str) -> None:
    first = sections(canonical({"": preamble} | found))
    assert list(first) == [key for key, body in ({"": preamble} | found).items() if body.strip()]
    assert sections(canonical(first)) == first


def test_canonical_writes_what_the_design_says() -> None:
    found = {"Findings": " clear \n", "": "preamble", "Note: ": "x", "ECG": "2 beats", "empty": " "}
    assert canonical(found) == "preamble\n\nFINDINGS:\nclear\n\nNOTE:\nx\n\nECG:\n2 beats"
    assert sections(canonical(found)) == {"": "preamble", "FINDINGS": "clear", "NOTE": "x", "ECG": "2 beats"}


LINE = "The liver measures 12.5 cm in its axis vs. 12.1 cm before. No lesion.\n"


def test_a_long_report_is_divided() -> None:
    assert len(sentences(LINE * 1500)) == 3000
    assert list(sections("FINDINGS: " + LINE * 1500)) == ["FINDINGS"]


@pytest.mark.parametrize("piece", [LINE, "A", ".", "a. ", "FINDINGS ", "1. ", ":\n"])
def test_time_grows_with_the_length_of_a_report_not_with_its_square(piece: str) -> None:
    size = 6_000 // len(piece)
    assert growth(lambda number: sentences(piece * number), size) < LINEAR
    assert growth(lambda number: sections(piece * number), size) < LINEAR


def test_real_reports_of_ecgs_keep_their_words(real_data) -> None:  # type: ignore[no-untyped-def]
    import csv

    with (real_data / "ptbxl500" / "ptbxl_database.csv").open(encoding="utf-8") as file:
        texts = [row["report"] for row in csv.DictReader(file)]
    assert all(" ".join(sentences(text)).split() == text.split() for text in texts)
    plain = [text for text in texts if text.strip() and not set(text) & set(".?!")]
    assert len(plain) > 200
    assert all(len(sentences(text)) == 1 for text in plain)
