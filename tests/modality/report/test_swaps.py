"""One exchanged word: what is said changes, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcl.modality.report.swaps import SWAPS, swapped


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("side", "Nodule in the left lung.", "Nodule in the right lung."),
        ("side", "LEFT-SIDED effusion.", "RIGHT-SIDED effusion."),
        ("side", "Pleuraerguss links, Herz o.B.", "Pleuraerguss rechts, Herz o.B."),
        ("side", "Im linken Oberlappen.", "Im rechten Oberlappen."),
        (
            "side",
            "Left and right lung clear. Effusion on the left.",
            "Left and right lung clear. Effusion on the right.",
        ),
        ("negation", "No pleural effusion.", "Some pleural effusion."),
        ("negation", "No evidence of fracture.", "Clear evidence of fracture."),
        ("negation", "The heart is not enlarged.", "The heart is clearly enlarged."),
        ("negation", "A spiculated mass of 3 cm.", "No spiculated mass of 3 cm."),
        ("negation", "There is a mass.", "There is no mass."),
        ("negation", "Kein Infarkt.", "Ein Infarkt."),
        ("negation", "Vorhofflimmern ohne P-Wellen.", "Vorhofflimmern mit P-Wellen."),
        ("negation", "Eine Raumforderung im Unterlappen.", "Keine Raumforderung im Unterlappen."),
        ("severity", "Mild cardiomegaly.", "Severe cardiomegaly."),
        ("severity", "Geringe Ergüsse.", "Ausgeprägte Ergüsse."),
        ("size", "A small mass.", "A large mass."),
        ("change", "Effusion unchanged.", "Effusion increased."),
        ("change", "Deutliche Zunahme des Ergusses.", "Deutliche Abnahme des Ergusses."),
        ("organ", "Mass of the left lung.", "Mass of the left liver."),
    ],
)
def test_one_word_is_exchanged(kind: str, text: str, expected: str) -> None:
    assert swapped(text, kind) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("side", "Left and right lung are clear."),
        ("side", "Bright spots beside the rightmost rib; Rechtfertigende Indikation."),
        ("negation", "Image No. 3 of the series."),
        ("negation", "Note the nodule."),
        ("severity", "Normal chest."),
        ("size", ""),
    ],
)
def test_what_would_say_the_same_stays(kind: str, text: str) -> None:
    assert swapped(text, kind) is None


@given(st.text(max_size=80), st.sampled_from(SWAPS))
def test_any_text_is_read(text: str, kind: str) -> None:
    found = swapped(text, kind)
    assert found is None or len(found.split()) == len(text.split())
