"""What is trained on the labels: linear probe and nearest neighbours on frozen embeddings, fine-tuning."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medcl.archive.manifest import Target
from medcl.embed.encoders import Encoder, Width, embed_records, mean_by_group
from medcl.errors import MedclError
from medcl.evaluate.config import FinetuneConfig
from medcl.evaluate.task import Task
from medcl.modality.sampling import SampleSet
from medcl.networks.heads import ClassifierHead
from medcl.stats.metrics import measure

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned classifier.

    Args:
        encoder: its encoder.
        head: embeddings (B, dim) -> logits (B, outputs).
        steps: taken until the kept weights.
        validation: their selection metric on the validation records.
    """

    encoder: Encoder
    head: nn.Module
    steps: int
    validation: float


class _Scaled(nn.Module):
    """A head whose output is brought to the mean and spread of a continuous target."""

    def __init__(self, head: nn.Module, mean: float, spread: float) -> None:
        super().__init__()
        self.head, self.mean, self.spread = head, mean, spread

    def forward(self, z: Tensor) -> Tensor:
        scaled: Tensor = self.head(z) * self.spread + self.mean
        return scaled


def fine_tune(
    encoder: Encoder,
    task: Task,
    windows: SampleSet,
    train: Rows,
    validation: Rows,
    config: FinetuneConfig,
    *,
    seed: int,
    device: torch.device,
) -> Finetuned:
    """Train a copy of the encoder, and a head, on the labelled rows, and keep the weights that validate best.

    The seed is that of the head, the batches and the dropout.

    Raises:
        MedclError: for fewer than two training records, since the head normalises over the batch.
    """
    if len(train) < 2:
        raise MedclError(
            "fine-tuning needs at least two labelled records: the head normalises over the batch; ask for more --labels"
        )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder = copy.deepcopy(encoder).to(device)
    head: nn.Module = ClassifierHead(encoder.config.dim, task.n_outputs).to(device)
    labels = task.columns(train)
    if task.target.kind == "regression":
        head = _Scaled(head, float(labels.mean()), float(labels.std()) or 1.0)
    targets = torch.from_numpy(labels).float().to(device)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    every = max(config.evaluate_every, -(-len(train) // config.batch))
    best, best_step, best_state = -np.inf, 0, (copy.deepcopy(encoder.state_dict()), copy.deepcopy(head.state_dict()))
    for step, chosen in enumerate(_batches(len(train), config.batch, config.steps, rng), start=1):
        encoder.train()
        head.train()
        picked, group = _draw_windows(windows, train[chosen], config.windows, rng)
        x = windows.__getitems__(picked)["x"].to(device)
        z = mean_by_group(encoder.embed(x), torch.from_numpy(group).to(device), len(chosen))
        loss = task.loss(head(z), targets[torch.from_numpy(chosen).to(device)])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % every:
            continue
        value = task.score(validation, predict(encoder, head, task, windows, validation, device))
        if value > best:
            best, best_step = value, step
            best_state = (copy.deepcopy(encoder.state_dict()), copy.deepcopy(head.state_dict()))
        elif step - best_step >= config.patience * every:
            break
    encoder.load_state_dict(best_state[0])
    head.load_state_dict(best_state[1])
    return Finetuned(encoder, head, best_step, float(best))


def predict(
    encoder: Encoder, head: nn.Module, task: Task, windows: SampleSet, rows: Rows, device: torch.device
) -> NDArray[np.float64]:
    """Probabilities (or values) of records from all of their windows, (rows, outputs)."""
    head.eval()
    with torch.inference_mode():
        logits = head(torch.from_numpy(embed_records(encoder, windows, rows, device)).to(device))
        prediction: NDArray[np.float64] = task.predict(logits).double().cpu().numpy()
    return prediction


def _batches(n: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Index batches, epoch after epoch; never a batch of one, which could not be normalised."""
    per_epoch = -(-n // size)
    done = 0
    while True:
        for part in np.array_split(rng.permutation(n), per_epoch):
            if done == steps:
                return
            if len(part) == 1:
                part = np.append(part, rng.integers(n))
            yield part
            done += 1


def _draw_windows(
    windows: SampleSet, rows: Rows, most: int, rng: np.random.Generator
) -> tuple[list[int], NDArray[np.int64]]:
    """At most `most` random windows of each row, and which row of `rows` each belongs to."""
    picked: list[int] = []
    group: list[int] = []
    for number, row in enumerate(rows):
        own = windows.samples_of(int(row))
        own = rng.choice(own, most, replace=False) if len(own) > most else own
        picked.extend(int(window) for window in own)
        group.extend([number] * len(own))
    return picked, np.asarray(group, dtype=np.int64)


PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
NEIGHBOURS = (1, 3, 5, 10, 20, 50)

Predictor = Callable[[Floats], Floats]
"""Embeddings (n, dim) -> probabilities or values (n, outputs)."""


def linear_probe(task: Task, z: Floats, train: Rows, validation: Rows) -> Predictor:
    """Logistic regression (ridge regression for a continuous target) on standardised embeddings (records, dim).

    It is fitted on the rows `train`; by the rows `validation` the penalty is chosen among `PENALTIES`.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(z[train])
    x, y = scaler.transform(z[train]), task.columns(train)
    fits: Iterable[Predictor] = (_after(scaler.transform, _linear(task, x, y, penalty)) for penalty in PENALTIES)
    return _best(task, fits, z, validation)


def probe_scores(
    target: Target, labels: NDArray[Any], z: Floats, train: Rows, validation: Rows, test: Rows
) -> dict[str, float]:
    """The test metrics of a linear probe, first the one by which models are chosen.

    Labels are (records,) or, multilabel, (records, classes), embeddings (records, dim).

    Raises:
        MedclError: the metric is undefined on the test or the validation rows.
    """
    task = Task(target, labels)
    prediction = linear_probe(task, z, train, validation)(z[test])
    first = {task.metric: task.score(test, prediction)}
    found = measure(target.kind, labels[test], prediction, target.classes).metrics
    return first | {name: float(value) for name, value in found.items()}


def nearest_neighbours(task: Task, z: Floats, train: Rows, validation: Rows) -> Predictor:
    """Mean label of the k nearest rows `train` of embeddings (records, dim) by cosine similarity.

    By the rows `validation` k is chosen among `NEIGHBOURS`.
    """
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(metric="cosine").fit(z[train])
    y = task.columns(train)

    def voting(k: int) -> Predictor:
        def predict(z_new: Floats) -> Floats:
            nearest = index.kneighbors(z_new, n_neighbors=k, return_distance=False)
            votes: Floats = y[nearest].mean(axis=1)
            return votes

        return predict

    return _best(task, (voting(k) for k in NEIGHBOURS if k <= len(train)), z, validation)


def _best(task: Task, predictors: Iterable[Predictor], z: Floats, validation: Rows) -> Predictor:
    # max keeps the first of equals: the stronger penalty, the fewer neighbours.
    return max(predictors, key=lambda predict: task.score(validation, predict(z[validation])))


def _after(transform: Callable[[Floats], Floats], predict: Predictor) -> Predictor:
    return lambda z: predict(transform(z))


def _linear(task: Task, x: Floats, y: Floats, penalty: float) -> Predictor:
    from sklearn.linear_model import LogisticRegression, Ridge

    if task.target.kind == "regression":
        ridge = Ridge(alpha=1 / penalty).fit(x, y)
        return lambda z: np.asarray(ridge.predict(z)).reshape(len(z), 1)
    if task.target.kind == "multiclass":
        model = LogisticRegression(C=penalty, max_iter=1000).fit(x, y.argmax(axis=1))
        return model.predict_proba  # type: ignore[no-any-return]
    models = [LogisticRegression(C=penalty, max_iter=1000).fit(x, column) for column in y.T]
    return lambda z: np.stack([model.predict_proba(z)[:, 1] for model in models], axis=1)


SIDE = 16


class Pixels(nn.Module):
    """Averages an image over 16 x 16 cells, as an encoder of images of so many channels."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.config = Width(n_channels * SIDE * SIDE)

    def embed(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) to (B, C * 256)."""
        return torch.flatten(F.adaptive_avg_pool2d(x, SIDE), 1)
