"""Time and memory of the contrast of all with all, beside what others need for the same number."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast import info_nce_levels, itself, same
from tests.benchmarks.two_view_losses import LOSSES, MB, THREADS, in_a_process, medcl, plain, seconds, views

pytestmark = pytest.mark.benchmark
REPEATS = 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(threads)


def test_all_write_the_same_loss() -> None:
    """A comparison of speed is one of the same number."""
    z1, z2 = views(64)
    values = [loss(z1, z2) for loss in LOSSES.values()]
    for value in values[1:]:
        torch.testing.assert_close(value, values[0])


def test_memory_is_a_sixteenth_of_the_matrix_and_grows_with_its_side() -> None:
    extra = {n: in_a_process("medcl, blockwise", n)["megabytes"] for n in (8192, 16384)}
    matrix = 16384**2 * 4 / MB
    print(
        f"\npeak memory at N = 16,384: {extra[16384]:.0f} MB, {extra[16384] / matrix:.1%} of the matrix's {matrix:.0f}"
    )
    assert extra[16384] < matrix / 16
    assert extra[16384] < 2.5 * extra[8192]


def test_it_takes_no_longer_than_the_matrix() -> None:
    for n, repeats in ((1024, 8 * REPEATS), (4096, 2 * REPEATS)):
        times = [(seconds(partial(medcl, block=None), n)[0], seconds(plain, n)[0]) for _ in range(repeats)]
        # The best of each: what else the machine does only ever adds to the few milliseconds that these take.
        ours, theirs = (min(column) for column in zip(*times, strict=True))
        print(f"\nN = {n:,}: {ours / theirs:.2f} x the time of plain torch")
        assert ours / theirs < 1.15


def test_four_levels_cost_little_more_than_one() -> None:
    n = 4096
    ids = torch.arange(n // 2)
    both = torch.cat([ids, ids])

    def levels(count: int, z1: Tensor, z2: Tensor) -> Tensor:
        z = torch.cat([z1, z2])
        pairings = {str(level): same(both // 4**level) for level in range(count)}
        return torch.stack(list(info_nce_levels(z, z, pairings, without=itself(z)).values())).sum()

    times = [(seconds(partial(levels, 4), n)[0], seconds(partial(levels, 1), n)[0]) for _ in range(6 * REPEATS)]
    four, one = (min(column) for column in zip(*times, strict=True))
    print(f"\nfour levels: {four / one:.2f} x one")
    assert four / one < 1.5
