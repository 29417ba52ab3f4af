"""Glocal-IB: imputation with aligned embeddings, against sums by hand and on series of two classes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.modality.table.config import TableEncoderConfig
from medcl.modality.table.encoders import build
from medcl.modality.table.views import ValueDropout
from medcl.modality.views import Compose

from .steps import BITS, Trained, batch_of

NAN = float("nan")


class Filled(nn.Module):
    """An encoder of series of three variables that takes what is missing for 0."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=8)
        self.layer = nn.Linear(BITS, 8)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x.nan_to_num().mT)
        return found


def model(encoder: nn.Module, removed: float, **settings: Any) -> Trained:
    objective = {"kind": "glocal-ib", "of": "table", **settings}
    return Trained({"impute": objective}, {"table": encoder}, Compose([ValueDropout(removed)]))


@pytest.mark.parametrize("by", ["cosine", "contrast"])
def test_errors_are_of_what_was_measured_and_embeddings_are_aligned(by: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, BITS, 4)
    x[0, 1] = NAN
    trained = model(Filled(), 0.5, by=by)
    found = trained(batch_of({"table": x}), torch.Generator().manual_seed(3))
    hidden = ValueDropout(0.5).draw(x, torch.Generator().manual_seed(3))["hidden"]
    objective: Any = trained.objectives["impute"]
    z = trained.encoders["table"](x.masked_fill(hidden, NAN))
    error = (objective.values(z).mT - x).square()
    torch.testing.assert_close(found["impute.observed"], error[~hidden & ~x.isnan()].mean())
    torch.testing.assert_close(found["impute.removed"], error[hidden & ~x.isnan()].mean())
    a, b = F.normalize(objective.projection(z), dim=-1), F.normalize(trained.encoders["table"](x), dim=-1)
    expected = 1 - (a * b).sum(dim=-1).mean()
    if by == "contrast":
        expected = -(a @ b.mT).log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean()
    torch.testing.assert_close(found["impute.align"], expected)
    found["impute.align"].backward()
    # The complete side teaches and does not learn: the derivative is that of the masked side alone.
    again = model(Filled(), 0.5, by=by)
    again.load_state_dict(trained.state_dict())
    with torch.no_grad():
        b = F.normalize(again.encoders["table"](x), dim=-1)
    own: Any = again.objectives["impute"]
    a = F.normalize(own.projection(again.encoders["table"](x.masked_fill(hidden, NAN))), dim=-1)
    alone = 1 - (a * b).sum(dim=-1).mean()
    if by == "contrast":
        alone = -(a @ b.mT).log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean()
    alone.backward()
    torch.testing.assert_close(trained.encoders["table"].layer.weight.grad, again.encoders["table"].layer.weight.grad)  # type: ignore[union-attr]


def test_hidden_values_of_waves_are_imputed() -> None:
    rng = np.random.default_rng(0)
    phase, lag = rng.uniform(0, 2 * np.pi, (400, 1, 1)), np.arange(3)[:, None]
    waves = np.sin(np.arange(16) / 16 * 2 * np.pi + phase - lag) + rng.normal(0, 0.3, (400, 3, 16))
    x = torch.tensor(waves, dtype=torch.float32)
    torch.manual_seed(0)
    trained = model(build(TableEncoderConfig("transformer", 16, 16, 1, 0.0), (0, 0, 0)), 0.7)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        rows = torch.arange(32) + 32 * (step % 10)
        optimiser.zero_grad()
        torch.stack(list(trained(batch_of({"table": x[rows]}), generator).values())).sum().backward()
        optimiser.step()
    with torch.no_grad():
        error = trained(batch_of({"table": x[320:]}), generator)["impute.removed"]
    assert error < 0.7 * x.var(), "of the error of the mean, of which noise alone is 0.15"
