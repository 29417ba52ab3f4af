"""Strategies of slices, images and volumes: against slow references, and on pieces that are not as they should be."""

from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medcl.errors import UnreadableError, UsageError
from medcl.reduce.encoders import ByCosine
from medcl.reduce.hamming import Hash
from medcl.reduce.image_strategies import Entropy
from medcl.reduce.rules import greedy
from medcl.reduce.strategies import EMBEDDING, STRATEGIES, WANTED, strategy_of
from medcl.reduce.strategy import Strategy
from medcl.reduce.wanted import Wanted

ENCODED: dict[str, Any] = {EMBEDDING: ByCosine, WANTED: Wanted}
"""Those that take an encoder."""
MADE: list[Strategy] = [strategy_of(name) for name in STRATEGIES if name not in ENCODED]
OF_IMAGES = [strategy for strategy in MADE if "volume" in strategy.kinds and strategy.source == "array"]
COMPARING = [strategy for strategy in OF_IMAGES if strategy.measure != "score"]
NAMED: dict[str, Any] = {"ids": lambda strategy: strategy.name}


def scene(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Some bright blobs, (1, *shape)."""
    rng = np.random.default_rng(seed)
    where = np.stack(np.meshgrid(*(np.linspace(0, 1, side) for side in shape), indexing="ij"))
    blobs = (
        rng.uniform(0.3, 1) * np.exp(-((where - rng.random((len(shape), *[1] * len(shape)))) ** 2).sum(axis=0) / 0.03)
        for _ in range(5)
    )
    return (1000 * sum(blobs) - 200).astype(np.float32)[None]


def test_slices_and_colour_pictures_hash_as_imagehash_does() -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (3, 40, 50), dtype=np.uint8)
    colour[:, 0, 0], colour[:, 0, 1] = 0, 255
    piece = scene((64, 48), 0)
    grey = np.rint((piece[0] - piece.min()) * (255 / (piece.max() - piece.min()))).astype(np.uint8)
    expected = [imagehash.dhash(Image.fromarray(np.moveaxis(colour, 0, 2))), imagehash.dhash(Image.fromarray(grey))]
    found = Hash().signatures([colour, piece])
    np.testing.assert_array_equal(found, [np.packbits(one.hash.ravel()) for one in expected])


def test_entropy_is_that_of_the_histogram() -> None:
    """Two values, evenly: 1 bit; constant: 0; all 256: 8."""
    two, all_values = np.indices((16, 16))[0] % 2, np.arange(256).reshape(16, 16)
    found = Entropy().signatures([two[None], np.full((1, 16, 16), 4.0), all_values[None]])
    np.testing.assert_allclose(found[:, 0], [1, 0, 8], atol=1e-6)
    with pytest.raises(UsageError, match="finds no duplicates"):
        Entropy().compare(found, found)


@pytest.mark.parametrize("shape", [(50, 60), (20, 30, 25)])
@pytest.mark.parametrize("strategy", COMPARING, **NAMED)
def test_a_copy_is_dropped_and_another_scene_kept(strategy: Strategy, shape: tuple[int, ...]) -> None:
    pieces = [scene(shape, 0), 2 * scene(shape, 0) + 100, np.random.default_rng(0).normal(size=(1, *shape))]
    found = greedy(strategy.signatures(pieces), strategy)
    assert found.keep.tolist() == [True, False, True]


@pytest.mark.parametrize("strategy", OF_IMAGES, **NAMED)
def test_sizes_and_types_may_be_mixed(strategy: Strategy) -> None:
    pieces = [scene((50, 60), 0), scene((90, 40), 1).astype(np.int16), scene((50, 60), 2).astype(np.float64)]
    together = strategy.signatures(pieces)
    alone = np.concatenate([strategy.signatures([piece]) for piece in pieces])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("strategy", OF_IMAGES, **NAMED)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_numbers_are_refused(strategy: Strategy, bad: float) -> None:
    piece = scene((50, 60), 0)
    piece[0, 3, 4] = bad
    with pytest.raises(UnreadableError, match="not finite"):
        strategy.signatures([scene((50, 60), 1), piece])
    with pytest.raises(UnreadableError, match="empty"):
        strategy.signatures([np.zeros((1, 0, 4))])


@pytest.mark.parametrize("strategy", OF_IMAGES, **NAMED)
def test_constant_pieces_compare_as_numbers(strategy: Strategy) -> None:
    signatures = strategy.signatures([np.full((1, 30, 30), value) for value in (0.0, -1000.0, 7.0)])
    keep = greedy(signatures, strategy).keep.tolist()
    if strategy.measure == "score":
        assert keep == [False] * 3
    elif strategy.name == "mutual-information":
        assert keep == [True] * 3  # they share no information, as its docstring says
    else:
        assert keep == [True, False, False]


@pytest.mark.parametrize("strategy", OF_IMAGES, **NAMED)
def test_volumes_of_one_slice_and_no_pieces(strategy: Strategy) -> None:
    volume = scene((40, 40, 1), 0)
    signatures = strategy.signatures([volume, volume])
    assert np.isfinite(signatures).all()
    assert len(strategy.signatures([])) == 0


def test_the_documentation_lists_every_strategy_with_its_default() -> None:
    lines = Path("docs/reduction.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| `")][1:] == [
        f"| `{name}` | {entry.words} | {entry.compares} | {default_of(name)} |" for name, entry in STRATEGIES.items()
    ]
    for name in STRATEGIES:
        if name not in ENCODED:
            assert strategy_of(name).name == name


def default_of(name: str) -> str:
    strategy = ENCODED.get(name) or strategy_of(name)
    return f"{strategy.measure} {strategy.thresholds.default:g}"


def test_names_keys_and_ranges_hold_together() -> None:
    for strategy in MADE:
        assert not set(strategy.key) - set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert strategy.thresholds.lowest <= strategy.thresholds.default <= strategy.thresholds.highest
    assert isinstance(strategy_of("hash"), Hash)


def test_an_unknown_strategy_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"strategy hush: one of hash, .*embedding"):
        strategy_of("hush")
