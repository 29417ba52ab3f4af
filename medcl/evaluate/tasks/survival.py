"""Survival: a time to an event, or to the censoring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.errors import MedclError
from medcl.evaluate.fractions import Ordering, order
from medcl.evaluate.tasks.base import Calibrator, Floats, Rows, Task
from medcl.networks.survival import CoxMemory, cox_loss, hazard_cuts, logistic_hazard_loss, survival_of
from medcl.stats.survival import Steps, SurvivalPredictions, breslow, censoring_distribution, survival_at

INTERVALS = 10
_FEWEST = 3  # distinct times of events, without which no curve of survival is measured


def times_of(labels: NDArray[Any], name: str) -> tuple[float, ...]:
    """Tenths of the times of events of (records, 2) times and events: ends of intervals, at which survival is measured.

    Raises:
        MedclError: too few events.
    """
    known = labels[~np.isnan(labels).any(axis=1)]
    cuts = hazard_cuts(known[:, 0], known[:, 1], INTERVALS)
    if len(cuts) < _FEWEST:
        raise MedclError(
            f"target {name!r}: the training patients have events at {len(cuts)} times, {_FEWEST} are needed"
        )
    return tuple(cuts.tolist())


@dataclass(frozen=True)
class Survival(Task):
    """A time and whether the event was observed then (1) or the record was censored (0): labels (items, 2).

    What is predicted is a risk, higher for an earlier event, and then the probabilities of no event until each of the
    times, (items, 1 + times). A linear probe is Cox regression with an L2 penalty. Of a Cox model the risk is the log
    hazard ratio; its baseline hazard is Breslow's of the validation items, to whom the model was not fitted. Of the
    discrete-time model the risk is the mean probability of an event until each of the times.

    Args:
        target: `event` is its class.
        labels: see above.
        times: ascending.
        head: of fine-tuning.
        memory: number of risks of earlier batches in the risk sets of Cox's head, in fine-tuning.
    """

    times: tuple[float, ...] = ()
    head: Literal["cox", "discrete"] = "cox"
    memory: int = 0

    metric = "harrell_c"
    protocols = ("probe", "finetune")
    calibrated = False
    undefined = "records (no pair of which it is known who had the event first)"

    @property
    def about(self) -> Any:
        """See `Task`."""
        return [self.head, self.times, *([self.memory] if self.memory else [])]

    @property
    def n_outputs(self) -> int:
        """See `Task`."""
        return 1 if self.head == "cox" else len(self.times)

    def classes_of(self, rows: Rows) -> Floats:
        """See `Task`."""
        return self.columns(rows)[:, 1:]

    def ordering(self, patients: Rows, train: Rows, **how: Any) -> Ordering:
        """Prefixes hold events and censored records in proportion, of early and late times, and an event."""
        return order(self.labels, "survival", self.target.classes, patients, train, name=self.target.name, **how)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Task`."""
        time, event = labels.T
        if self.head == "cox":
            return cox_loss(logits[:, 0], time, event)
        return logistic_hazard_loss(logits, time, event, torch.tensor(self.times).to(logits))

    def criterion(self) -> Callable[[Tensor, Tensor], Tensor]:
        """See `Task`."""
        if self.head != "cox" or not self.memory:
            return self.loss
        memory = CoxMemory(self.memory)
        return lambda logits, labels: memory(logits[:, 0], *labels.T)

    def predict(self, logits: Tensor) -> Tensor:
        """See `Task`."""
        if logits.shape[1] == 1:
            return logits
        surviving = survival_of(logits)
        return torch.cat([1 - surviving.mean(dim=1, keepdim=True), surviving], dim=1)

    def linear(self, x: Floats, labels: Floats, penalty: float) -> tuple[Floats, Floats]:
        """See `Task`."""
        inputs, (time, event) = torch.from_numpy(x), torch.from_numpy(labels).T
        weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight], max_iter=500, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            optimiser.zero_grad()
            value: Tensor = cox_loss(inputs @ weight, time, event) * event.sum() + weight.square().sum() / (2 * penalty)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(objective)  # type: ignore[no-untyped-call]
        return weight.detach().numpy()[None], np.zeros(1)

    def measured(self, rows: Rows, prediction: Floats) -> SurvivalPredictions:
        """See `Task`."""
        time, event = self.columns(rows).T
        others = np.setdiff1d(np.flatnonzero(self.labelled), rows)
        censoring = censoring_distribution(*self.columns(others).T)
        # The last of the times is that of the last event, at which hardly anybody is followed.
        times, tau = self.times[:-1], self.times[-2]
        if prediction.shape[1] == 1:
            return SurvivalPredictions.of(time, event, prediction[:, 0], censoring, tau=tau)
        curves = prediction[:, 1:-1]
        return SurvivalPredictions.of(time, event, prediction[:, 0], censoring, tau=tau, times=times, survival=curves)

    @property
    def settings(self) -> dict[str, Any]:
        """See `Task`."""
        return {"times": self.times, "head": self.head}

    def calibrator(self, validation: Rows, predicted: Floats) -> Calibrator:
        """The baseline hazard of a Cox model."""
        if predicted.shape[1] > 1:
            return Calibrator()
        centre, (time, event) = predicted.mean(), self.columns(validation).T
        hazard = breslow(time, event, predicted[:, 0] - centre)
        return Calibrator(baseline=(tuple(hazard.times.tolist()), tuple(hazard.values.tolist()), (float(centre),)))

    def adjusted(self, prediction: Floats, by: Calibrator) -> Floats:
        """A Cox model's risks, and the probabilities that follow from its baseline hazard."""
        if not by.baseline:
            return prediction
        times, hazard, (centre,) = by.baseline
        curves = survival_at(Steps(np.array(times), np.array(hazard), 0.0), prediction[:, 0] - centre, self.times)
        return np.concatenate([prediction, curves], axis=1)

    def outputs(self, prediction: Floats, thresholds: Sequence[float] = ()) -> dict[str, Any]:
        """The risk, and the probability of no event until each of the times."""
        names = ["risk", *(f"survival_{time:g}" for time in self.times)]
        return dict(zip(names, prediction.T, strict=True))
