"""The model folder: what `medcl finetune` keeps of a finished model, and `medcl predict` applies (`docs/models.md`).

It holds `model.safetensors` (all tensors), `model.json` (what they are, checksum-sealed), `patients.txt` (salted hashes
of all patients whose records had a part in the model), `environment.json` and `README.md`, its card. Nothing in it is
unpickled, and no class is imported from it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl import files, runs, weights
from medcl.archive.manifest import Manifest
from medcl.documents import build, plain, read_json, sealed
from medcl.embed.encoders import device
from medcl.errors import MedclError, UsageError
from medcl.evaluate.arms import embedded, features
from medcl.evaluate.attention_probe import AsTheyAre, Embedded
from medcl.evaluate.items import Items, starts_of
from medcl.evaluate.mirrored import mirrored
from medcl.evaluate.protocols import Network, head_of, predict, predict_linear
from medcl.evaluate.results import ArmInfo, ResultTarget
from medcl.evaluate.segment_predict import predict_volume
from medcl.evaluate.segment_train import build as segmenter
from medcl.evaluate.tasks import TASKS
from medcl.evaluate.tasks.base import Calibrator, Floats, Linear, Rows, Task
from medcl.files import damaged, file_checksum
from medcl.modality import spec as cards
from medcl.modality import wing
from medcl.modality.objects import Given
from medcl.modality.sampling import NumberedSamples, SampleSet
from medcl.modality.spec import JointCard, SideCard
from medcl.modality.volume.prepare import slice_axis
from medcl.networks.pooling import Pooling
from medcl.seen import SeenPatients

VERSION = 1
MODEL, WEIGHTS, CARD, ENVIRONMENT = "model.json", "model.safetensors", "README.md", "environment.json"
PATIENTS = ("patients.txt", "patients-of-pretraining.txt")
"""The second where the manifest of the pretraining was coded with another salt."""
_COPY = "take it from a copy of the model folder, or run `medcl finetune` again"
SEGMENTATION: Literal["segmentation"] = "segmentation"


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, in `model.json`.

    Args:
        target: what it predicts; of a segmentation the classes begin with the background.
        protocol: `probe` or `finetune`.
        arm: what gave the embeddings, without the path of a run.
        label: label fraction that it was trained on.
        unit: what the fraction counts, `patient` or `record`.
        repeat: number of the drawn subset.
        seed: of the subset and the training.
        fold: number of the fold.
        encoder: the encoder and what it takes, as `medcl.modality.spec.to_json` writes it; of a baseline what it takes.
        bag: what a prediction belongs to: a `record`, `study`, `patient` or time `step`.
        pooling: how the samples of it become one embedding.
        top_k: of the pooling.
        settings: of the task, such as the times of survival.
        calibrator: temperature and thresholds, chosen on the validation patients.
        overlap: of neighbouring windows, as a share; of a segmentation.
        mirror: axes along which images are mirrored too; of a segmentation.
    """

    target: ResultTarget
    protocol: str
    arm: ArmInfo
    label: str
    unit: str
    repeat: int
    seed: int
    fold: int
    encoder: dict[str, Any]
    bag: str = "record"
    pooling: str = "mean"
    top_k: int = 8
    settings: dict[str, Any] = field(default_factory=dict)
    calibrator: Calibrator = field(default_factory=Calibrator)
    overlap: float = 0.0
    mirror: tuple[int, ...] = ()


@dataclass(frozen=True)
class Model:
    """A finished model, loaded: `medcl.load`.

    Args:
        folder: of the model.
        info: what it is.
        card: of its encoder, or of what a baseline takes.
        tensors: all of it by name, `encoder.*`, `head.*`, `linear.*`, `state.*`, `learned.*`, `scaling.*`,
            `pooling.*`, `network.*`.
        patients: those that it has seen.
    """

    folder: Path
    info: ModelInfo
    card: SideCard
    tensors: Mapping[str, Tensor] = field(repr=False)
    patients: tuple[SeenPatients, ...] = field(repr=False)

    @property
    def segments(self) -> bool:
        """Whether it predicts label maps."""
        return self.info.target.kind == SEGMENTATION

    @cached_property
    def wing(self) -> Any:
        """The modality of its records."""
        return wing(cards.kind_of(self.card))

    @cached_property
    def data(self) -> Any:
        """What a sample is."""
        return self.wing.data_of(self.card)

    @cached_property
    def task(self) -> Task:
        """What it predicts, without labels."""
        settings = {name: tuple(one) if isinstance(one, list) else one for name, one in self.info.settings.items()}
        return TASKS[self.info.target.kind](self.info.target, np.empty(0), **settings)

    @cached_property
    def network(self) -> Any:
        """Its encoder, or the network that segments, on the device."""
        path = self.folder / WEIGHTS
        card: Any = self.card
        segmenting = partial(segmenter, card, len(self.info.target.classes), seed=0)
        made = runs.network(card, path, _COPY, segmenting if self.segments else card.build)
        runs.fill(made, self.part("network" if self.segments else "encoder"), path, _COPY)
        return mirrored(made, self.info.mirror).to(device())

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors `name.*`, without that word."""
        return {key[len(name) + 1 :]: one for key, one in self.tensors.items() if key.startswith(f"{name}.")}

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The same as arrays."""
        return {key: one.numpy() for key, one in self.part(name).items()}

    def items(self, manifest: Manifest, samples: SampleSet) -> Items:
        """What it predicts of a manifest: records, bags of them, or all time steps."""
        if self.info.bag == "step":
            return Items.steps(manifest, samples.rows, starts_of(samples))
        return Items.records(manifest) if self.info.bag == "record" else Items.bags(manifest, self.info.bag)

    def of_items(self, every: SampleSet, items: Items | None, rows: Rows) -> Floats:
        """What it predicts of items (R,) with samples, (R, ...), adjusted; None: of what the samples are rows of."""
        info, samples = self.info, every if items is None else items.samples(every)
        pooling: Any = info.pooling
        if info.protocol == "finetune":
            found = predict(self.joined(self.network), self.task, samples, rows, device())
            return self.task.adjusted(found, info.calibrator)
        if info.arm.kind == "baseline":
            assert items is not None
            baseline, learned = self.wing.baselines(self.data)[info.arm.name], map(self.arrays, ("state", "learned"))
            z = features(baseline, every, items, rows, pooling, info.top_k, *learned)
        else:
            z = embedded(self.network, samples, rows, pooling, info.top_k)
        if "group" in z:
            scaled = (z["z"] - self.arrays("scaling")["mean"]) / self.arrays("scaling")["scale"]
            network = self.joined(AsTheyAre(scaled.shape[1]), linear=True)
            found = predict(network, self.task, Embedded(scaled, z["group"]), np.arange(len(rows)), device())
        else:
            found = predict_linear(self.task, Linear(**self.arrays("linear")), z["z"].astype(np.float64))
        return self.task.adjusted(found, info.calibrator)

    def joined(self, encoder: Any, *, linear: bool = False) -> Network:
        """The encoder with its head and pooling."""
        dim, pooling = encoder.config.dim, Pooling(self.info.pooling, encoder.config.dim, self.info.top_k)  # type: ignore[arg-type]
        head = head_of(self.task, dim, linear=linear)
        for name, one in (("head", head), ("pooling", pooling)):
            runs.fill(one, self.part(name), self.folder / WEIGHTS, _COPY)
        return Network(encoder, head, pooling).to(device())

    def predict(self, x: Any, store: Path | str | None = None, **given: Any) -> Any:
        """Predict objects in memory, or the records of a manifest.

        Args:
            x: one object or a list, as `Embedder.embed` takes them: they pass through the checks of an archive. Or an
                array of one record as the encoder itself takes it, of which nothing is given: a recording (C, T) in mV
                (EEG: uV) at the encoder's sampling rate; an image (C, rows, columns) or a prepared volume (C, x, y, z)
                from 0 to 1. Or a manifest, or its path.
            store: folder of prepared records; of a manifest in memory.
            given: `sampling_rate`, `channels` and `unit`, or `spacing`, of arrays; `about` of data frames.

        Returns:
            Of a record its prediction, (columns,): probabilities in the order of the classes, of a binary target that
            of the second; of a segmentation the label map (x, y, z), on the grid of an object's file. Of a list one a
            record. Of a manifest the table of `medcl predict`.

        Raises:
            UsageError: it does not fit the encoder.
            MedclError: an object is damaged.
        """
        from medcl.evaluate import prediction

        if isinstance(x, Manifest) or (isinstance(x, str | PathLike) and str(x).endswith(".parquet")):
            manifest = x if isinstance(x, Manifest) else Manifest.read(Path(x))
            beside = None if isinstance(x, Manifest) else Path(x).with_suffix(".store")
            if store is None and beside is None:
                raise UsageError("a manifest in memory has no folder of prepared records: give store=")
            return prediction.predict(self, manifest, Path(store or beside or "")).table
        if given or not isinstance(x, np.ndarray | Tensor):
            return prediction.predict_objects(self, x, Given.of(**given))
        if self.segments:
            volume = torch.as_tensor(np.asarray(x, dtype=np.float32))
            if volume.ndim != 4 or len(volume) != 1:
                raise UsageError(f"an array of the shape {tuple(volume.shape)}: expected a volume (1, x, y, z)")
            size, axis = self.data.size, slice_axis(self.data)
            return predict_volume(self.network, volume, size, axis, self.info.overlap, device())
        if self.info.arm.kind == "baseline":
            raise UsageError("a baseline predicts the records of a manifest: give one")
        pieces = self.wing.pieces(x, self.data)
        steps = self.info.bag == "step"
        rows = np.arange(len(pieces)) if steps else np.zeros(len(pieces), dtype=np.int64)
        found = self.of_items(InMemory(pieces, rows), None, np.unique(rows))
        return found if steps else found[0]


class InMemory(NumberedSamples):
    """The samples of one record in memory.

    Args:
        x: (S, ...).
        rows: (S,) the item of each, ascending.
    """

    def __init__(self, x: Tensor, rows: Rows) -> None:
        self._x, self.rows, self.ids = x, rows, {}

    def read(self, numbers: Rows) -> Tensor:
        """Samples by their numbers (B,), (B, ...)."""
        return self._x[torch.from_numpy(numbers)]


def write(
    folder: Path, info: ModelInfo, tensors: Mapping[str, Tensor], patients: Sequence[SeenPatients], card: str
) -> None:
    """Write a model folder; `model.json` last, so that what was interrupted is no model.

    Raises:
        MedclError: it cannot be written.
    """
    weights.write(folder / WEIGHTS, tensors)
    for name, seen in zip(PATIENTS, patients, strict=False):
        seen.write(folder / name)
    files.write(folder / CARD, card)
    files.write(folder / ENVIRONMENT, json.dumps(sealed(runs.environment()), indent=2) + "\n")
    names = [WEIGHTS, *PATIENTS[: len(patients)]]
    sums = {name: file_checksum(folder / name) for name in names}
    about = {"version": VERSION, "model": plain(info), "files": sums}
    files.write(folder / MODEL, json.dumps(sealed(about), indent=2, ensure_ascii=False) + "\n")


def load(folder: Path | str) -> Model:
    """Load a finished model.

    Args:
        folder: OUTPUT/models/NAME of `medcl finetune`.

    Raises:
        MedclError: it is no model folder, is damaged, or was written by a newer medcl.
    """
    folder = Path(folder)
    path = folder / MODEL
    try:
        content = read_json(path, _COPY, has_sum=True)
    except FileNotFoundError as error:
        raise MedclError(
            f"{folder}: not a model folder ({MODEL} is missing); `medcl finetune` writes some into OUTPUT/models"
        ) from error
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise MedclError(f"{path}: version {version} of the format, this medcl reads up to {VERSION}: update medcl")
    try:
        info: ModelInfo = build(ModelInfo, content["model"], "model")
        card = cards.from_json(json.dumps(info.encoder))
        for name, known in content["files"].items():
            if file_checksum(folder / files.safe_name(name)) != known:
                raise damaged(folder / name, _COPY)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise damaged(path, _COPY) from error
    if isinstance(card, JointCard) or info.target.kind not in (*TASKS, SEGMENTATION):
        raise damaged(path, _COPY)
    seen = tuple(SeenPatients.read(folder / name) for name in PATIENTS if name in content["files"])
    return Model(folder, info, card, weights.read(folder / WEIGHTS, _COPY), seen)
