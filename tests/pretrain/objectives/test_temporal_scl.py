"""Temporal-SCL: the state of each time step, by the authors' own synthetic patients and by loops."""

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.objectives.temporal_scl import snapshots
from medcl.pretrain.reading import read

from .steps import Trained, batch_of

RISING = [(180, 135, 100), (0, 45, 80)]
FALLING = [(180, -135, -100), (0, -45, -80)]
OUTCOME = "label:death"


class Steps(nn.Module):
    """The paper's encoder of a snapshot: one hidden layer of 16, three numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=3)
        self.layers = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x.mT)
        return found


def trained(**settings: Any) -> Trained:
    torch.manual_seed(0)
    return Trained(
        {"scl": {"kind": "temporal-scl", "of": "signal", "target": "death", **settings}}, {"signal": Steps()}
    )


def batch(x: Tensor, outcome: Tensor) -> Mapping[str, Any]:
    own = batch_of({"signal": x})
    own["ids"][OUTCOME] = outcome
    return own


def paths(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Paths (n, 2, 3) over three clusters of ten on a circle, their outcomes (n,) and angles (n, 3) without noise."""
    rng = np.random.default_rng(0)
    angles = np.radians(np.repeat([*RISING, *FALLING], count, axis=0).astype(float))
    x = angles + rng.normal(0, 0.05, angles.shape)
    outcome = np.repeat([1, 1, 0, 0], count)
    return tuple(map(torch.as_tensor, (np.stack([np.cos(x), np.sin(x)], 1).astype(np.float32), outcome, angles)))  # type: ignore[return-value]


def test_positives_are_the_nearest_steps_of_the_same_outcome() -> None:
    x, outcome = torch.randn(4, 2, 3), torch.tensor([0, 1, 0, 1])
    model = trained(forecast=0)
    loss = model(batch(x, outcome))["scl.contrast"]
    z, raw, label = F.normalize(model.encoders["signal"](x), dim=-1).flatten(0, 1), x.mT.flatten(0, 1), outcome
    label = label.repeat_interleave(3)
    group = list(range(12))
    for i in range(12):
        others = [j for j in range(12) if j != i and label[j] == label[i]]
        near = min(others, key=lambda j: float((raw[i] - raw[j]).norm()))
        first, second = sorted((group[i], group[near]))
        group = [first if own == second else own for own in group]
    losses = []
    for i in range(12):
        scores = {j: float(z[i].detach() @ z[j].detach()) / 0.1 for j in range(12) if j != i}
        total = math.log(sum(map(math.exp, scores.values())))
        positives = [j for j in scores if group[j] == group[i]]
        losses.append(sum(total - scores[j] for j in positives) / len(positives))
    assert loss.item() == pytest.approx(sum(losses) / 12, rel=1e-5)


def test_the_forecast_is_of_the_next_embedding_from_those_before() -> None:
    x, outcome = torch.randn(4, 2, 3), torch.tensor([0, 1, 0, 1])
    model = trained(penalty=0.0)
    found = model(batch(x, outcome))["scl.forecast"]
    objective: Any = model.objectives["scl"]
    z = F.normalize(model.encoders["signal"](x), dim=-1)
    expected = [
        (objective.next(objective.memory(z[i : i + 1, :t])[0][0, -1]) - z[i, t]).square().mean()
        for i in range(4)
        for t in (1, 2)
    ]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    # What comes later does not change what was forecast before it.
    later = x.clone()
    later[:, :, 2] = 9.0
    memory = objective.memory(F.normalize(model.encoders["signal"](later), dim=-1)[:, :2])[0]
    torch.testing.assert_close(memory, objective.memory(z[:, :2])[0])


def test_what_is_missing_is_the_last_value_before_it() -> None:
    nan = float("nan")
    x = torch.tensor([[[1.0, nan, 3.0, nan], [nan, nan, 5.0, nan]]])
    features, there = snapshots(x, 4)
    assert features.mT.tolist() == [[[1, 1, 3, 3], [0, 0, 5, 5]]]
    assert there.tolist() == [[True, False, True, False]]
    halves, there = snapshots(x, 2)
    assert halves.mT.tolist() == [[[1, 3], [0, 5]]]
    assert there.tolist() == [[True, True]]


def test_states_of_the_authors_synthetic_patients() -> None:
    x, outcome, angles = paths(100)
    common = {"kind": "temporal-scl", "of": "signal", "target": "death"}
    torch.manual_seed(0)
    first = {**common, "positives": "outcome", "forecast": 0}
    model = Trained({"first": first, "then": common}, {"signal": Steps()})
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    for step in range(300):
        rows = torch.randint(len(x), (32,), generator=rng)
        losses = model(batch(x[rows], outcome[rows]))
        loss = losses["first.contrast"] if step < 60 else losses["then.contrast"] + 10 * losses["then.forecast"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        z = F.normalize(model.encoders["signal"](x), dim=-1).numpy()
    predictor = MLPClassifier((6,), solver="lbfgs", max_iter=300, random_state=0)
    predictor.fit(z.reshape(-1, 3), outcome.repeat_interleave(3).numpy())
    risk = predictor.predict_proba(z.reshape(-1, 3))[:, 1].reshape(-1, 3)
    assert ((risk[:, 2] > 0.5) == outcome.numpy()).all()
    starts = [risk[angles[:, 0] == start, 0].mean() for start in angles[:, 0].unique()]
    assert all(0.4 < one < 0.6 for one in starts), starts
    # Of each outcome, states near each other on the circle stay near each other.
    for value in (0, 1):
        own, states = angles[outcome == value].flatten().numpy(), z[(outcome == value).numpy()].reshape(-1, 3)
        circle = np.unique(own)
        centres = np.stack([states[own == one].mean(axis=0) for one in circle])
        order = np.triu_indices(len(circle), 1)
        turn = (circle[:, None] - circle)[order]
        around, apart = np.arccos(np.cos(turn)), np.linalg.norm(centres[:, None] - centres, axis=-1)[order]
        assert spearmanr(around, apart).statistic >= 0.8


def test_an_objective_without_an_outcome_is_refused() -> None:
    content = {"inputs": {"table": {}}, "objectives": {"scl": {"kind": "temporal-scl", "of": "table"}}}
    with pytest.raises(UsageError, match="objectives.scl.target: names the column"):
        check(read(content))
