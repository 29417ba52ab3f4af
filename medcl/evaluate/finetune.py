"""Full fine-tuning: encoder and an MLP head, trained until the validation patients see no improvement."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl.embed.embedding import embed_records, mean_by_group
from medcl.embed.pieces import Encoder, Pieces
from medcl.errors import MedclError
from medcl.evaluate.config import FinetuneConfig
from medcl.evaluate.task import Task
from medcl.networks.heads import ClassifierHead

Rows = NDArray[np.int64]


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
    windows: Pieces,
    train: Rows,
    validation: Rows,
    config: FinetuneConfig,
    *,
    seed: int,
    device: torch.device,
) -> Finetuned:
    """Train encoder and head on the labelled rows.

    Args:
        encoder: pretrained or random; a copy is trained.
        task: what is predicted.
        windows: of the store.
        train: labelled rows.
        validation: rows by which the weights are chosen.
        config: optimiser and patience.
        seed: of the head, the batches and the dropout.
        device: where to train.

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
    encoder: Encoder, head: nn.Module, task: Task, windows: Pieces, rows: Rows, device: torch.device
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
    windows: Pieces, rows: Rows, most: int, rng: np.random.Generator
) -> tuple[list[int], NDArray[np.int64]]:
    """At most `most` random windows of each row, and which row of `rows` each belongs to."""
    picked: list[int] = []
    group: list[int] = []
    for number, row in enumerate(rows):
        own = windows.windows_of(int(row))
        own = rng.choice(own, most, replace=False) if len(own) > most else own
        picked.extend(int(window) for window in own)
        group.extend([number] * len(own))
    return picked, np.asarray(group, dtype=np.int64)
