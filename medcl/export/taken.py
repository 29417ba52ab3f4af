"""What is taken away: the encoder of a run, or a finished model with its head, as one network of samples."""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from medcl.archive.manifest import Manifest
from medcl.embed.encoders import Side, device, prepare, sides_of
from medcl.errors import UsageError
from medcl.evaluate import models
from medcl.evaluate.attention_probe import AsTheyAre
from medcl.evaluate.models import InMemory, Model
from medcl.evaluate.tasks.base import Task
from medcl.modality import wing
from medcl.modality.preprocessing import Preprocessing
from medcl.modality.spec import SideCard, kind_of
from medcl.networks.pooling import OF_PREDICTIONS, Pooling

_RECORDS, _SAMPLES = 8, 32
"""Of a manifest, by which the exported network is compared with the original: so many records, and samples of each."""


@dataclass(frozen=True)
class Taken:
    """A network to take away.

    Args:
        source: run or model folder.
        card: of its encoder.
        network: samples (S, ...) to what it gives, (S, ...) or, of the samples of one record, (1, ...); on the CPU.
        original: the same by the run or model itself.
        about: what it is and what it gives, as JSON holds it.
    """

    source: Path
    card: SideCard
    network: nn.Module
    original: Callable[[Tensor], Tensor]
    about: dict[str, Any]

    @property
    def kind(self) -> str:
        """Of its records."""
        return kind_of(self.card)

    @property
    def preprocessing(self) -> Preprocessing:
        """Of its records."""
        return wing(self.kind).preprocessing(self.card)

    def examples(self, seed: int = 0) -> list[Tensor]:
        """Made-up samples, (S, ...) of each of some records."""
        rng = np.random.default_rng(seed)
        return [self.preprocessing.example(rng, count) for count in (4, 1, 3)]

    def real(self, manifest: Manifest, jobs: int = 1) -> list[Tensor]:
        """Samples (S, ...) of the first records of a manifest.

        Raises:
            UsageError: there is no record of this kind, or they do not fit.
            MedclError: none can be decoded.
        """
        rows = np.flatnonzero((manifest.kinds == self.kind) & (manifest.column("status") == "ok"))[:_RECORDS]
        if not len(rows):
            raise UsageError(f"the manifest has no readable record of the kind {self.kind}, which the network takes")
        some = manifest.select(rows)
        side = Side(cast(Any, self.kind), self.card, cast(Any, self.network))
        with tempfile.TemporaryDirectory() as store:
            pieces = prepare(side, some, some, Path(store), jobs).pieces
            own = [pieces.samples_of(int(row))[:_SAMPLES] for row in np.unique(pieces.rows)]
            return [pieces.__getitems__(one.tolist())["x"] for one in own]


class Embedding(nn.Module):
    """Samples (S, ...) to embeddings (S, dim)."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """(S, ...) to (S, dim)."""
        found: Tensor = self.encoder.embed(x)
        return found


class Standardised(nn.Module):
    """Embeddings less a mean, by a scale, (dim,) each."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())

    def forward(self, z: Tensor) -> Tensor:
        """(n, dim) to (n, dim)."""
        return (z - cast(Tensor, self.mean)) / cast(Tensor, self.scale)


def linear(parts: Mapping[str, Tensor]) -> nn.Module:
    """The linear model of a probe: `mean`, `scale`, `weight` and `bias`, as `Linear` has them."""
    outputs, dim = parts["weight"].shape
    last = nn.Linear(dim, outputs)
    last.load_state_dict({name: parts[name].float() for name in ("weight", "bias")})
    return nn.Sequential(Standardised(parts["mean"], parts["scale"]), last)


class Predicting(nn.Module):
    """The samples of one record (S, ...) to its prediction (1, ...); of time steps (S, ...), each its own.

    Args:
        encoder: of samples.
        scaling: of embeddings, before they are pooled.
        pooling: of embeddings; None where each sample is an item.
        head: embeddings to logits.
        task: makes predictions of logits.
        temperature: by which logits are divided.
    """

    def __init__(
        self, encoder: Any, scaling: nn.Module, pooling: Pooling | None, head: nn.Module, task: Task, temperature: float
    ) -> None:
        super().__init__()
        self.encoder, self.scaling, self.pooling, self.head = encoder, scaling, pooling, head
        self.task, self.temperature = task, temperature

    def forward(self, x: Tensor) -> Tensor:
        """(S, ...) to (1, ...), or (S, ...)."""
        z = self.scaling(self.encoder.embed(x))
        return self.task.predict(self.head(z if self.pooling is None else self.pooling.whole(z)) / self.temperature)


class Segmenting(nn.Module):
    """Patches (B, C, ...) to probabilities of the classes of their voxels, (B, classes, ...)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to (B, classes, ...)."""
        return torch.softmax(self.network(x), dim=1)


def take(source: Path, side: str = "") -> Taken:
    """Take the network of a run or a model.

    Args:
        source: run folder, model folder, or hub folder.
        side: of a run on several inputs, the name of the input.

    Raises:
        MedclError: it is neither, or is damaged.
        UsageError: it is a simple baseline, which has no network, or has no such side.
    """
    if (source / models.MODEL).is_file():
        if side:
            raise UsageError(f"{source}: a finished model has one input: leave out --side")
        return _of_model(models.load(source))
    sides = sides_of(source, name=side)
    if len(sides) != 1:
        listed = ", ".join(one.kind for one in sides_of(source))
        raise UsageError(f"{source}: has encoders of {listed}: name the input of one with --side")
    one = sides[0]
    about = {"kind": "encoder", "gives": "embeddings", "modality": one.kind, "dim": one.dim, "of_length_1": one.joint}
    network = _on_cpu(Embedding(one.network))
    return Taken(source, one.card, network, partial(_on_device, Embedding(one.network)), about)


def _of_model(model: Model) -> Taken:
    info = model.info
    target = info.target
    about: dict[str, Any] = {
        "kind": "model",
        "gives": "predictions",
        "modality": kind_of(model.card),
        "target": target.name,
        "task": target.kind,
        "classes": list(target.classes),
        "unit": target.unit,
        "protocol": info.protocol,
    }
    if info.arm.kind == "baseline":
        raise UsageError(f"{model.folder}: is the simple baseline {info.arm.name!r}, which has no network to take away")
    if model.segments:
        network: nn.Module = Segmenting(model.network)
        about |= {"outputs": list(target.classes), "patch": list(model.data.size), "overlap": info.overlap}
        return Taken(model.folder, model.card, _on_cpu(network), partial(_on_device, network), about)
    by_step = info.bag == "step"
    if info.pooling in OF_PREDICTIONS:
        raise UsageError(
            f"{model.folder}: a model with --pooling {info.pooling} is not exported: take mean or attention"
        )
    about |= {
        "bag": info.bag,
        "pooling": info.pooling,
        "settings": info.settings,
        "temperature": info.calibrator.temperature,
        "thresholds": {name: list(values) for name, values in info.calibrator.thresholds.items()},
        "baseline_hazard": [list(one) for one in info.calibrator.baseline],
    }
    network = _predicting(model, by_step=by_step)
    width = network(model.wing.preprocessing(model.card).example(np.random.default_rng(0), 2)).shape[-1]

    def original(x: Tensor) -> Tensor:
        rows = np.arange(len(x)) if by_step else np.zeros(len(x), dtype=np.int64)
        found = model.of_items(InMemory(x, rows), None, np.unique(rows))
        # Of a Cox model the curves that follow from its risk are computed of the baseline hazard, which goes as data.
        return torch.from_numpy(found.reshape(len(found), -1)[:, :width])

    return Taken(model.folder, model.card, network, original, about)


def _predicting(model: Model, *, by_step: bool) -> nn.Module:
    """The whole of a model of items, on the CPU."""
    info, encoder = model.info, model.network
    scaling: nn.Module = nn.Identity()
    if info.protocol == "finetune":
        joined = model.joined(encoder)
        pooling, head = joined.pooling, joined.head
    elif parts := model.part("scaling"):
        scaling = Standardised(parts["mean"], parts["scale"])
        joined = model.joined(AsTheyAre(encoder.config.dim), linear=True)
        pooling, head = joined.pooling, joined.head
    else:
        parts = model.part("linear")
        pooling = Pooling(cast(Any, info.pooling), encoder.config.dim, info.top_k)
        head = linear(parts)
    own = None if by_step else pooling
    return _on_cpu(Predicting(encoder, scaling, own, head, model.task, info.calibrator.temperature))


def _on_cpu(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).cpu().eval()


@torch.inference_mode()
def _on_device(network: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = network.to(device()).eval()(x.to(device()))
    return found.float().cpu()
