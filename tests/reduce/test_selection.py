"""The redundancy curve, and its knee."""

import numpy as np
import pytest

from medcl.engine import progress
from medcl.reduce import selection as module
from medcl.reduce import strategy as comparing
from medcl.reduce.hamming import Hash
from medcl.reduce.image_strategies import Entropy, MutualInformation
from medcl.reduce.rules import greedy
from medcl.reduce.selection import curve_of, knee
from medcl.reduce.strategy import duplicates


def scenes(copies: int, flips: int) -> np.ndarray:
    """Hashes of 20 scenes, each seen several times with some bits other."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (20, 8), dtype=np.uint8).repeat(copies, axis=0)
    bits = np.unpackbits(hashes, axis=1)
    for row in bits:
        row[rng.choice(64, flips, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def test_share_is_what_greedy_keeps_of_all_groups() -> None:
    groups = [scenes(5, 2), scenes(2, 1), scenes(1, 0)[:0]]
    found = curve_of(groups, Hash())
    for threshold, share in zip(found.thresholds, found.share, strict=True):
        kept = sum(greedy(group, Hash(), threshold).keep.sum() for group in groups[:2])
        assert share == pytest.approx(kept / 140)
    assert found.units == 140
    assert found.share[0] > found.share[-1]


def test_the_knee_is_where_copies_are_gone_and_scenes_are_not() -> None:
    assert curve_of([scenes(10, 2)], Hash()).knee == 4


def test_the_knee_of_similarities_and_scores() -> None:
    at = np.linspace(0, 1, 11)
    share = np.array([0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.25, 0.5, 0.75, 1.0])
    assert knee(at, share, MutualInformation(normalised=True)) == pytest.approx(0.7)
    assert knee(at, share[::-1], Entropy()) == pytest.approx(0.3)


def test_a_curve_that_does_not_bend_gives_the_default() -> None:
    assert curve_of([], Hash()).knee == 6
    assert curve_of([np.zeros((9, 8), dtype=np.uint8)], Hash()).knee == 6
    assert curve_of([scenes(1, 0)], Hash(), thresholds=(0, 1, 2)).knee == 6
    straight = np.linspace(1, 0.5, 5)
    assert knee(np.arange(5.0), straight, Hash()) == 6


def test_large_archives_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 40)
    assert curve_of([scenes(1, 0)] * 10, Hash()).units == 40
    assert curve_of([scenes(5, 0)], Hash()).units == 40


def test_pairs_are_the_same_in_parts_and_how_far_it_is_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found() -> set[tuple[int, int, float]]:
        pairs = list(duplicates(Hash(), scenes(5, 2), 6))
        listed = [row for one in pairs for row in zip(one.first, one.second, one.measure, strict=True)]
        assert len(set(listed)) == len(listed)
        return {(int(a), int(b), float(c)) for a, b, c in listed}

    whole = found()
    assert len(whole) > 100
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(comparing, "_PART", 7)
    monkeypatch.setattr(comparing, "_PARTS", 4)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert found() == whole
    assert capsys.readouterr().err.splitlines()[-1] == "reduce: comparison: 4 of 4 parts (100%), 0 s left"
