"""Strategies of reports."""

import numpy as np
import pytest

from medcl.errors import UnreadableError
from medcl.reduce.rules import greedy
from medcl.reduce.strategy import duplicates, matches
from medcl.reduce.text_strategies import MinHash, SameText
from tests.reduce.slow_selection import slow_greedy

LONG = (
    "There is no focal consolidation, pleural effusion or pneumothorax. The heart is of normal size. The mediastinal "
    "contour is unremarkable. Degenerative changes of the thoracic spine are unchanged since the last examination."
)
REPORTS = [LONG, LONG, LONG.upper().replace(".", " ;"), LONG.replace("normal", "enlarged"), "A nodule of 6 mm."]


@pytest.mark.parametrize(
    ("strategy", "keep"),
    [
        (SameText(), [True, False, True, True, True]),
        (SameText(normalised=True), [True, False, False, True, True]),
        (MinHash(), [True, False, False, False, True]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_is_the_same_text(strategy: SameText | MinHash, keep: list[bool]) -> None:
    assert greedy(strategy.signatures(REPORTS), strategy).keep.tolist() == keep


def test_letters_written_in_two_ways_are_one() -> None:
    strategy = SameText(normalised=True)
    first, second = strategy.signatures(["Größe  der\nLäsion", "grösse der La\u0308sion!"])
    assert (first == second).all()


@pytest.mark.parametrize("strategy", [SameText(), SameText(normalised=True), MinHash()], ids=lambda one: one.name)
def test_a_report_without_words_is_refused(strategy: SameText | MinHash) -> None:
    with pytest.raises(UnreadableError, match="without words"):
        strategy.signatures(["normal", " \n--"])


def variants(count: int) -> list[str]:
    """Reports with some words exchanged: similarities of all sizes."""
    rng = np.random.default_rng(0)
    words = np.array(LONG.split() * 2)
    made = []
    for _ in range(count):
        changed = words.copy()
        place = rng.choice(len(words), rng.integers(0, 20), replace=False)
        changed[place] = rng.choice(["nodule", "opacity", "effusion", "left"], len(place))
        made.append(" ".join(changed))
    return made


@pytest.mark.parametrize("threshold", [0, 0.1, 0.35, 0.5, 0.8, 1])
def test_bands_find_what_a_comparison_of_all_finds(threshold: float) -> None:
    strategy = MinHash()
    signatures = strategy.signatures(variants(60))
    a, b = signatures[:25], signatures
    measure = strategy.compare(a, b)
    expected = [(*pair, measure[tuple(pair)]) for pair in np.argwhere(measure >= threshold).tolist()]
    found = [
        pair
        for part in matches(strategy, a, b, threshold)
        for pair in zip(part.first.tolist(), part.second.tolist(), part.measure, strict=True)
    ]
    assert sorted(found) == expected
    kept, stands = slow_greedy(signatures, strategy, threshold)
    assert greedy(signatures, strategy, threshold).duplicate_of.tolist() == stands


def test_minhash_estimates_jaccard() -> None:
    texts = variants(30)
    sets = [{tuple(words[start : start + 3]) for start in range(len(words) - 2)} for words in map(str.split, texts)]
    true = [len(sets[0] & other) / len(sets[0] | other) for other in sets]
    strategy = MinHash()
    signatures = strategy.signatures(texts)
    assert np.abs(strategy.compare(signatures[:1], signatures)[0] - true).max() < 0.2


def test_each_pair_of_duplicates_comes_once() -> None:
    strategy = SameText()
    signatures = strategy.signatures(["one", "two", "one", "one"])
    pairs = [pair for part in duplicates(strategy, signatures, 0) for pair in zip(part.first, part.second, strict=True)]
    assert sorted(pairs) == [(0, 2), (0, 3), (2, 3)]
