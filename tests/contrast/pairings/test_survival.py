"""Who attracts whom by times to an event: a loop over pairs, and what only censored times do not tell."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.pairings.survival import event_times
from medcl.errors import UsageError
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import Side, pair
from tests.contrast.compare import assert_same, draw

TIME = torch.tensor([1.0, 2.5, 2.0, 7.0, math.nan, 3.0, 1.0], dtype=torch.float64)
EVENT = torch.tensor([1, 1, 0, 0, 1, -1, 1])
SAMPLE = torch.arange(7)


def told(i: int, j: int, h: float) -> tuple[float, bool]:
    """Weight, and whether the pair counts at all."""
    if i == j:
        return 1.0, True
    times, events = (float(TIME[i]), float(TIME[j])), (int(EVENT[i]), int(EVENT[j]))
    if min(events) < 0 or any(math.isnan(one) for one in times):
        return 0.0, False
    if events == (1, 1):
        return math.exp(-abs(math.log(times[0]) - math.log(times[1])) / h), True
    if sum(events) == 1:
        event, censored = times if events[0] else times[::-1]
        return 0.0, censored >= event
    return 0.0, False


def test_weights_and_candidates_are_those_of_a_loop() -> None:
    pairs = event_times(TIME, EVENT, SAMPLE, bandwidth=0.7).pairs()
    expected = [[told(i, j, 0.7) for j in range(7)] for i in range(7)]
    weight = torch.tensor([[one[0] for one in row] for row in expected], dtype=torch.float64)
    torch.testing.assert_close(pairs.positive.double(), weight)
    assert pairs.candidate is not None
    assert pairs.candidate.tolist() == [[one[1] for one in row] for row in expected]
    # (2.5, event) with (2, censored): censored before the event, so that nothing is known.
    assert not pairs.candidate[1, 2]
    assert pairs.candidate[0, 2]


def test_the_loss_and_its_gradient_are_those_of_the_loop() -> None:
    def loss(z: Tensor) -> Tensor:
        pairing = event_times(TIME, EVENT, SAMPLE, bandwidth=0.7).without(itself(z))
        return info_nce(z, z, pairing, temperature=0.3)

    def reference(z: Tensor) -> Tensor:
        unit = z / z.norm(dim=1, keepdim=True)
        losses = []
        for i in range(7):
            known = {j: told(i, j, 0.7)[0] for j in range(7) if j != i and told(i, j, 0.7)[1]}
            if not sum(known.values()):
                continue
            scores = {j: unit[i] @ unit[j] / 0.3 for j in known}
            total = torch.stack([one.exp() for one in scores.values()]).sum().log()
            losses.append(sum(w * (total - scores[j]) for j, w in known.items()) / sum(known.values()))
        return torch.stack(losses).mean()

    assert_same(loss, reference, draw(7, 4))


def test_a_recipe_takes_two_columns() -> None:
    config = ContrastConfig(of="table", positives="survival:days/died=1", bandwidth=0.7)
    assert config.columns == ("value:days", "label:died=1")
    ids = {"sample": SAMPLE, "value:days": TIME, "label:died=1": EVENT}
    side = Side(ids, 2, 7, ("table",))
    masks = pair(config, side, None, None).pairs()
    once = event_times(TIME, EVENT, SAMPLE, bandwidth=0.7).pairs().positive
    expected = once.repeat(2, 2).fill_diagonal_(0)
    torch.testing.assert_close(masks.positive.to(expected), expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="bandwidth"):
        event_times(TIME, EVENT, SAMPLE, bandwidth=0.0)
    with pytest.raises(UsageError, match="times"):
        event_times(TIME, EVENT[:3], SAMPLE, bandwidth=1.0)


def survivors(seed: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of 30 of which two change the hazard, times and events, half of them censored."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 30))
    time = rng.exponential(np.exp(-1.5 * x[:, 0] - 1.0 * x[:, 1]))
    end = rng.exponential(np.exp(0.2), size=n)
    return tuple(map(torch.tensor, (x.astype(np.float32), np.minimum(time, end), (time <= end).astype(np.int64))))  # type: ignore[return-value]


def concordance(seed: int, *, aware: bool) -> float:
    """Harrell's C of a Cox probe of an encoder that was trained with or without times."""
    from medcl.evaluate.protocols import linear_probe, predict_linear
    from medcl.evaluate.results import ResultTarget
    from medcl.evaluate.tasks.survival import Survival, times_of

    x, time, event = survivors(seed, 900)
    torch.manual_seed(seed)
    encoder = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    optimiser = torch.optim.Adam(encoder.parameters(), 3e-3)
    for _ in range(120):
        rows = torch.randint(0, 500, (64,))
        z = torch.cat([encoder(x[rows] + 0.3 * torch.randn(64, 30)) for _ in range(2)])
        views, both = rows.repeat(2), (time[rows].repeat(2), event[rows].repeat(2))
        pairing = event_times(*both, views, bandwidth=0.5) if aware else same(views)
        loss = info_nce(z, z, pairing.without(itself(z)), temperature=0.2)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        z_all = encoder(x).double().numpy()
    labels = np.stack([time.numpy(), event.numpy()], axis=1)
    train, validation, test = np.split(np.arange(900), [500, 600])
    task = Survival(ResultTarget("t", "survival", ("event",)), labels, times_of(labels[train], "t"))
    model = linear_probe(task, z_all, train, validation)
    return task.score(test, predict_linear(task, model, z_all[test]))


@pytest.mark.acceptance
def test_times_teach_what_tells_the_risk() -> None:
    """Of 4 numbers an encoder keeps those that tell the time to the event, where the times say who is alike."""
    gains = np.array([concordance(seed, aware=True) - concordance(seed, aware=False) for seed in range(3)])
    print("Harrell's C with minus without times:", np.round(gains, 3))
    assert gains.mean() > 0.02
