"""A step of COMET with shared views and fused losses, beside the same step with views and plain losses a level."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.hierarchical import hierarchical
from medcl.contrast.losses.identity import identities
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import build

BATCH, CHANNELS, STEPS, REPEATS = 64, 16, 256, 2
TEMPERATURE = 0.1


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compare on one core, so that neither side waits for a second one that another program is using."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plain_two_views(z: Tensor) -> Tensor:
    """-log softmax of each of the 2n rows of a group over the 2n - 1 others, then the mean over partners."""
    n = z.shape[1] // 2
    similarity = z @ z.transpose(1, 2)
    others = torch.tril(similarity, -1)[:, :, :-1] + torch.triu(similarity, 1)[:, :, 1:]
    losses = -F.log_softmax(others, dim=-1)
    i = torch.arange(n)
    return (losses[:, i, n + i - 1].mean() + losses[:, n + i, i].mean()) / 2


def plain_observation(z1: Tensor, z2: Tensor) -> Tensor:
    return plain_two_views(torch.cat([z1, z2], dim=1))


def plain_sample(z1: Tensor, z2: Tensor) -> Tensor:
    return plain_two_views(torch.cat([z1, z2], dim=0).transpose(0, 1))


def plain_pyramid(loss: Callable[[Tensor, Tensor], Tensor], z1: Tensor, z2: Tensor) -> Tensor:
    losses = []
    while z1.shape[1] > 1:
        losses.append(loss(z1, z2))
        z1, z2 = (F.max_pool1d(z.transpose(1, 2), kernel_size=2).transpose(1, 2) for z in (z1, z2))
    return torch.stack(losses).mean()


def plain_identity(z1: Tensor, z2: Tensor, ids: Tensor) -> Tensor:
    first, second = (F.normalize(z, dim=1).transpose(1, 2).reshape(len(z), -1) for z in (z1, z2))
    lengths = first.norm(dim=1)[:, None] * second.norm(dim=1)[None, :]
    e = torch.exp(first @ second.T / lengths / TEMPERATURE)
    clear = ids.numpy()
    positive = np.zeros((len(clear), len(clear)), dtype=bool)
    for one in np.unique(clear):
        members = np.flatnonzero(clear == one)
        positive[np.ix_(members, members)] = True
    upper, lower = np.nonzero(np.triu(positive, 1)), np.nonzero(np.tril(positive, -1))
    by_row, by_column = -torch.log(e / e.sum(dim=1, keepdim=True)), -torch.log(e / e.sum(dim=0, keepdim=True))
    return (by_row[upper].mean() + by_column[lower].mean()) / 2


def plain_losses(views: Callable[[str], tuple[Tensor, Tensor]], ids: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "patient": plain_identity(*views("patient"), ids["patient"]),
        "trial": plain_identity(*views("trial"), ids["trial"]),
        "sample": plain_pyramid(plain_sample, *views("sample")),
        "observation": plain_pyramid(plain_observation, *views("observation")),
    }


def losses(z1: Tensor, z2: Tensor, ids: dict[str, Tensor]) -> dict[str, Tensor]:
    return identities(z1, z2, ids, temperature=TEMPERATURE) | hierarchical(z1, z2)


def seconds(step: Callable[[], None]) -> float:
    """Processor time: what another program takes of the core is not counted."""
    start = time.process_time()
    step()
    return time.process_time() - start


@pytest.mark.benchmark
@pytest.mark.usefixtures("one_thread")
def test_shared_views_and_fused_losses_train_on_four_times_as_many_samples_a_second() -> None:
    """8 passes through the encoder become 2, so the losses have to become 4 times quicker as well."""
    torch.manual_seed(0)
    encoder = build(SignalEncoderConfig(), CHANNELS)
    x = torch.randn(BATCH, CHANNELS, STEPS)
    ids = {"patient": torch.arange(BATCH) // 16, "trial": torch.arange(BATCH) // 4}
    keeps = [torch.rand(BATCH, STEPS) > 0.4 for _ in range(4)]
    masks: dict[str, list[Tensor | None]] = {
        "patient": [None, None],
        "trial": [None, None],
        "sample": [keeps[0], keeps[1]],
        "observation": [keeps[2], keeps[3]],
    }

    def shared_step(size: int = BATCH) -> None:
        encoder.zero_grad()
        z1, z2 = (encoder(x[:size], keep[:size]) for keep in keeps[:2])
        torch.stack(list(losses(z1, z2, {level: own[:size] for level, own in ids.items()}).values())).sum().backward()

    def views(level: str, size: int) -> tuple[Tensor, Tensor]:
        first, second = (encoder(x[:size], keep if keep is None else keep[:size]) for keep in masks[level])
        return first, second

    def plain_step(size: int = BATCH) -> None:
        encoder.zero_grad()
        found = plain_losses(lambda level: views(level, size), {level: own[:size] for level, own in ids.items()})
        torch.stack(list(found.values())).sum().backward()

    # Both sides compute the same four numbers when they are given the same views.
    with torch.no_grad():
        pair = views("sample", 20)
        some = {level: own[:20] for level, own in ids.items()}
        expected = plain_losses(lambda level: pair, some)
        torch.testing.assert_close(losses(*pair, some), expected, rtol=1e-4, atol=1e-4)

    shared_step(8)
    plain_step(8)
    times = [(seconds(shared_step), seconds(plain_step)) for _ in range(REPEATS)]
    shared, plain = (median(side) for side in zip(*times, strict=True))
    ratio = median(slow / quick for quick, slow in times)
    print(
        f"\nsamples a second on one core: shared views {BATCH / shared:.1f}, "
        f"a view and a plain loss for each level {BATCH / plain:.1f}, ratio {ratio:.2f}"
    )
    assert ratio >= 4
