"""What is trained on the labels: linear probe and nearest neighbours on frozen embeddings, fine-tuning."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.embed.encoders import embed_records, embed_samples
from medcl.errors import MedclError, UsageError
from medcl.evaluate.bag_contrast import BagContrast
from medcl.evaluate.config import FinetuneConfig
from medcl.evaluate.instance_contrast import InstanceContrast
from medcl.evaluate.tasks.base import Floats, Linear, Rows, Task
from medcl.modality.sampling import SampleSet
from medcl.networks.heads import ClassifierHead
from medcl.networks.pooling import OF_PREDICTIONS, Pooling, PoolingName

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
NEIGHBOURS = (1, 3, 5, 10, 20, 50)

Predictor = Callable[[Floats], Floats]
"""Embeddings (n, dim) -> what is predicted (n, ...)."""


def predict_linear(task: Task, model: Linear, z: Floats) -> Floats:
    """What a linear model predicts of embeddings (n, dim), (n, ...)."""
    return np.asarray(task.predict(torch.from_numpy(model.logits(z))).numpy())


def linear_probe(task: Task, z: Floats, train: Rows, validation: Rows) -> Linear:
    """A linear model of standardised embeddings (items, dim): logistic, ridge or Cox regression, as the task has it.

    It is fitted on the rows `train`; by the rows `validation` the penalty is chosen among `PENALTIES`.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(z[train])
    x, y = scaler.transform(z[train]), task.columns(train)
    fits = (Linear(scaler.mean_, scaler.scale_, *task.linear(x, y, penalty)) for penalty in PENALTIES)
    # max keeps the first of equals: the stronger penalty.
    return max(fits, key=lambda model: task.score(validation, predict_linear(task, model, z[validation])))


def nearest_neighbours(task: Task, z: Floats, train: Rows, validation: Rows) -> Predictor:
    """Mean label of the k nearest rows `train` of embeddings (items, dim) by cosine similarity.

    By the rows `validation` k is chosen among `NEIGHBOURS`.
    """
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(metric="cosine").fit(z[train])
    y = task.votes(train)

    def voting(k: int) -> Predictor:
        def predict(z_new: Floats) -> Floats:
            nearest = index.kneighbors(z_new, n_neighbors=k, return_distance=False)
            votes: Floats = y[nearest].mean(axis=1)
            return votes

        return predict

    predictors: Iterable[Predictor] = (voting(k) for k in NEIGHBOURS if k <= len(train))
    return max(predictors, key=lambda predict: task.score(validation, predict(z[validation])))


class Network(nn.Module):
    """An encoder, what pools the embeddings of an item's samples, and a head.

    Args:
        encoder: samples (N, ...) -> embeddings (N, dim), by `embed`.
        head: embeddings (B, dim) -> logits (B, outputs).
        pooling: embeddings of samples -> those of items.
    """

    def __init__(self, encoder: Any, head: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.encoder, self.head, self.pooling = encoder, head, pooling

    def forward(self, x: Tensor, group: Tensor, n_items: int) -> Tensor:
        """Samples (N, ...) of items (N,) to logits (n_items, outputs)."""
        logits: Tensor = self.head(self.pooling(self.encoder.embed(x), group, n_items))
        return logits


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned network, the steps until the kept weights, and their selection metric on the validation items.

    With `ins` also the classifier of samples, as it was at that step.
    """

    network: Network
    steps: int
    validation: float
    instances: InstanceContrast | None = None


class Scaled(nn.Module):
    """A head whose output is brought to the mean and spread of a continuous target."""

    def __init__(self, head: nn.Module, mean: float = 0.0, spread: float = 1.0) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("spread", torch.tensor(spread))

    def forward(self, z: Tensor) -> Tensor:
        """(B, dim) to (B, outputs)."""
        scaled: Tensor = self.head(z) * self.spread + self.mean
        return scaled


def head_of(task: Task, dim: int, *, linear: bool = False, own: nn.Module | None = None) -> nn.Module:
    """The head that is put on an encoder, perhaps its own: embeddings (B, dim) -> logits (B, outputs)."""
    head = own or (nn.Linear(dim, task.n_outputs) if linear else ClassifierHead(dim, task.n_outputs))
    return Scaled(head) if task.target.kind == "regression" else head


def fine_tune(
    encoder: Any,
    task: Task,
    samples: SampleSet,
    train: Rows,
    validation: Rows,
    config: FinetuneConfig,
    *,
    seed: int,
    device: torch.device,
    pooling: PoolingName = "mean",
    top_k: int = 8,
    linear: bool = False,
    head: nn.Module | None = None,
) -> Finetuned:
    """Train a copy of the encoder, and a head, on the labelled rows, and keep the weights that validate best.

    The seed is that of the head, the pooling, the batches and the dropout.

    Raises:
        MedclError: for fewer than two training items, since the head normalises over the batch.
    """
    if len(train) < 2:
        raise MedclError(
            "fine-tuning needs at least two labelled records: the head normalises over the batch; ask for more --labels"
        )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    dim = encoder.config.dim
    head = head_of(task, dim, linear=linear, own=head)
    network = Network(copy.deepcopy(encoder), head, Pooling(pooling, dim, top_k)).to(device)
    labels = task.columns(train)
    if isinstance(head, Scaled):
        head.mean.fill_(float(labels.mean()))  # type: ignore[operator]
        head.spread.fill_(float(labels.std()) or 1.0)  # type: ignore[operator]
    targets = torch.from_numpy(labels).float().to(device)
    contrast = _contrast(config.contrast, task, dim, len(samples))
    classes = torch.from_numpy(np.zeros(0) if contrast is None else task.labels[train].astype(np.int64)).to(device)
    if contrast is not None:
        contrast.to(device)
    parameters = [*network.parameters(), *(contrast.parameters() if contrast is not None else ())]
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    criterion = task.criterion()
    every = max(config.evaluate_every, -(-len(train) // config.batch))
    best, best_step, best_state = -np.inf, 0, copy.deepcopy(network.state_dict())
    instances = contrast if isinstance(contrast, InstanceContrast) else None
    for step, chosen in enumerate(_batches(len(train), config.batch, config.steps, rng), start=1):
        network.train()
        picked, group = _draw_samples(samples, train[chosen], config.windows or 1, rng)
        x = samples.__getitems__(picked)["x"].to(device)
        z, of = network.encoder.embed(x), torch.from_numpy(group).to(device)
        pooled = network.pooling(z, of, len(chosen))
        loss = criterion(network.head(pooled), targets[torch.from_numpy(chosen).to(device)])
        if isinstance(contrast, BagContrast):
            loss = contrast.with_labels(loss, pooled, classes[chosen], step / config.steps)
        elif contrast is not None:
            loss = loss + contrast(z, of, classes[chosen], torch.tensor(picked, device=device), step / config.steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % every:
            continue
        value = task.score(validation, predict(network, task, samples, validation, device))
        if value > best:
            best, best_step, best_state = value, step, copy.deepcopy(network.state_dict())
            instances = copy.deepcopy(contrast) if isinstance(contrast, InstanceContrast) else None
        elif step - best_step >= config.patience * every:
            break
    network.load_state_dict(best_state)
    return Finetuned(network, best_step, float(best), instances)


def _contrast(name: str, task: Task, dim: int, samples: int) -> BagContrast | InstanceContrast | None:
    """What is trained beside the labels of items, by name.

    Raises:
        UsageError: the task has no classes that it could be for.
    """
    binary = task.target.kind == "binary"
    if (name == "sc-mil" and not (task.one_class or binary)) or (name == "ins" and not binary):
        needed = "two classes" if name == "ins" else "one class of each item"
        raise UsageError(
            f"finetune.contrast {name}: it needs {needed}, and {task.target.name} is {task.target.kind}; take none"
        )
    if name == "ins":
        return InstanceContrast(dim, samples)
    return BagContrast(dim) if name == "sc-mil" else None


def predict(network: Network, task: Task, samples: SampleSet, rows: Rows, device: torch.device) -> Floats:
    """What is predicted of items from all of their samples, (rows, ...)."""
    network.eval()
    if network.pooling.name in OF_PREDICTIONS:
        each, group = embed_samples(network.encoder, samples, rows, device)
        found = predict_head(network.head, task, each, device)
        return task.together(found, group, len(rows), largest=network.pooling.name == "max-prediction")
    if network.pooling.name == "mean":
        z = embed_records(network.encoder, samples, rows, device)
    else:
        with torch.inference_mode():
            pooled = network.pooling(*_on(device, *embed_samples(network.encoder, samples, rows, device)), len(rows))
        z = pooled.float().cpu().numpy()
    return predict_head(network.head, task, z, device)


@torch.inference_mode()
def predict_head(head: nn.Module, task: Task, z: NDArray[np.float32], device: torch.device) -> Floats:
    """What a head predicts of embeddings (n, dim), (n, ...).

    It computes in double precision and rounds to single: the prediction of one does not depend on how many there are.
    """
    logits = copy.deepcopy(head).eval().double()(torch.from_numpy(z).to(device).double())
    prediction: Floats = task.predict(logits).float().double().cpu().numpy()
    return prediction


def attention(network: Network, samples: SampleSet, rows: Rows, device: torch.device) -> Floats:
    """How much each sample of items counts, (N,), in the order of the items; they sum to 1 in each."""
    network.eval()
    with torch.inference_mode():
        each = _on(device, *embed_samples(network.encoder, samples, rows, device))
        weights: Floats = network.pooling.attention(*each, len(rows)).double().cpu().numpy()  # type: ignore[misc]
    return weights


def instance_scores(tuned: Finetuned, samples: SampleSet, rows: Rows, device: torch.device) -> Floats:
    """The probability of the second class of each sample of items, (N,), in the order of the items."""
    assert tuned.instances is not None
    tuned.network.eval()
    z, _ = embed_samples(tuned.network.encoder, samples, rows, device)
    with torch.inference_mode():
        scores: Floats = tuned.instances.eval().scores(torch.from_numpy(z).to(device)).double().cpu().numpy()
    return scores


def _on(device: torch.device, *arrays: Any) -> list[Tensor]:
    return [torch.from_numpy(one).to(device) for one in arrays]


def _batches(n: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[Rows]:
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


def _draw_samples(samples: SampleSet, rows: Rows, most: int, rng: np.random.Generator) -> tuple[list[int], Rows]:
    """At most `most` random samples of each row, and which row of `rows` each belongs to."""
    picked: list[int] = []
    group: list[int] = []
    for number, row in enumerate(rows):
        own = samples.samples_of(int(row))
        own = rng.choice(own, most, replace=False) if len(own) > most else own
        picked.extend(int(sample) for sample in own)
        group.extend([number] * len(own))
    return picked, np.asarray(group, dtype=np.int64)
