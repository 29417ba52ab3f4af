"""Segmentation in the experiment engine: networks that are trained on label maps, and their overlap with the truth."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medcl import weights
from medcl.archive.manifest import Manifest, Masks
from medcl.archive.stratify import Ints
from medcl.data.store import open_store
from medcl.documents import plain
from medcl.embed.encoders import device
from medcl.errors import UsageError
from medcl.evaluate.arms import Arm
from medcl.evaluate.cells import Arrays, Cell, read
from medcl.evaluate.config import EvaluateConfig, SegmentConfig
from medcl.evaluate.experiment import Fold, Planned
from medcl.evaluate.fractions import Ordering, Subset, random_order
from medcl.evaluate.mirrored import mirrored
from medcl.evaluate.results_tables import SETTLED, LearningCurve, Speed
from medcl.evaluate.segment_predict import HeldOut, overlap_of
from medcl.evaluate.segment_train import Segmenter, build, train
from medcl.evaluate.tasks.base import Floats
from medcl.modality.volume.prepare import slice_axis
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.store import VolumeStore

DEFAULT_LABELS = ("1", "2", "8")


@dataclass(frozen=True)
class Overlap:
    """The agreement of predicted label maps with the true ones, (structures, volumes) each.

    Args:
        dice: Dice coefficient, from 0 to 1.
        hd95: 95% Hausdorff distance in mm; NaN where a structure is in one of the maps only.
    """

    dice: Floats
    hd95: Floats

    @property
    def n_items(self) -> int:
        """Number of volumes."""
        return int(self.dice.shape[1])

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Means over structures and volumes (resamples,), and over volumes of each structure; see `Measured`."""
        macro, by_class = {}, {}
        for name, values in asdict(self).items():
            defined = ~np.isnan(values)
            total, count = np.where(defined, values, 0.0) @ weights, defined.astype(np.float64) @ weights
            by_class[name] = _ratio(total, count)
            macro[name] = _ratio(total.sum(axis=0), count.sum(axis=0))
        return macro, by_class


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


@dataclass(frozen=True)
class MaskPlan:
    """Networks that are trained on label maps.

    Args:
        manifest: of readable volumes.
        masks: the column of label maps.
        config: of the experiment; of the validation rows each repeat draws `segment.validation_volumes`.
    """

    manifest: Manifest
    masks: Masks
    config: EvaluateConfig

    def ordering(self, fold: Fold, seed: int) -> Ordering:
        """See `Plan`."""
        return random_order(self.manifest.column("patient"), fold.train, unit=self.config.unit, seed=seed)

    def features(self, fold: Fold, drawn: Sequence[Sequence[Subset]]) -> list[Cell]:
        """None: encoders are trained whole."""
        return []

    def models(self, fold: Fold, drawn: Sequence[Sequence[Subset]]) -> Iterator[Planned]:
        """See `Plan`."""
        for arm in fold.arms:
            for repeat, subsets in enumerate(drawn):
                seed = self.config.seed + repeat
                count = self.config.segment.validation_volumes
                validation = _one_each(self.manifest, fold.validation, count, seed)
                for subset in subsets:
                    cell = self._cell(fold, arm, subset, validation, repeat, seed)
                    yield Planned("finetune", arm, subset, repeat, seed, fold.number, cell)

    def _cell(self, fold: Fold, arm: Arm, subset: Subset, validation: Ints, repeat: int, seed: int) -> Cell:
        ids, segment = self.manifest.column("record_id"), self.config.segment
        unlabelled = fold.train if segment.semi_supervised != "none" else None
        # Of a U-Net, how much of it was pretrained does not change what random weights are.
        network = {"dim": 0, "stride": None, "pooling": "mean"} if arm.spec.encoder.name == "unet" else {}
        about = {
            "network": asdict(replace(arm.spec.encoder, **network)),
            "channels": arm.spec.n_channels,
            "data": asdict(replace(arm.data, largest=0.0)),
            "store": arm.store.name,
            "masks": asdict(self.masks),
            "segment": {**asdict(segment), "overlap": overlap_of(segment.overlap, slice_axis(arm.data))},
            "validated on": "cubes" if slice_axis(arm.data) is None else "whole slices",
            "weights": arm.about if arm.info.kind == "run" else "random",
            "run": repeat if len(arm.folders) > 1 else None,
            "seed": seed,
            **{
                name: list(map(str, ids[rows]))
                for name, rows in (
                    ("train", subset.rows),
                    ("validation", validation),
                    ("test", fold.test),
                    *([] if unlabelled is None else [("unlabelled", unlabelled)]),
                )
            },
        }
        volumes = (subset.rows, validation, fold.test, unlabelled)
        arguments = (arm, self.manifest, self.masks, *volumes, segment, repeat, seed)
        return Cell(_segment, arguments, plain(about))


def _segment(
    arm: Arm,
    manifest: Manifest,
    masks: Masks,
    labelled: Ints,
    validation: Ints,
    test: Ints,
    unlabelled: Ints | None,
    config: SegmentConfig,
    repeat: int,
    seed: int,
) -> Arrays:
    """Train a network, and measure it on the test volumes: `dice` and `hd95` (structures, volumes), and its course."""
    network = network_of(arm, len(masks.classes), repeat, seed)

    def patches(rows: Ints, mask: str | None = masks.name) -> VolumePatches:
        store: VolumeStore = open_store(arm.store, "volume")
        return VolumePatches(store, manifest.select(rows), arm.data, mask=mask)

    held_out = patches(validation) if len(validation) else None
    more = None if unlabelled is None else patches(unlabelled, None)
    ways: dict[str, Any] = {"seed": seed, "device": device(), "unlabelled": more}
    curve = train(network, patches(labelled), held_out, len(masks.classes), config, **ways)
    held_out_test = HeldOut(arm.store, manifest, test, masks, arm.data)
    dice, hd95 = held_out_test.measure(mirrored(network, config.mirror), config.overlap, device())
    found = {"dice": dice, "hd95": hd95, "iterations": curve.iterations, "values": curve.values, "best": curve.best}
    arrays = {name: np.asarray(value) for name, value in found.items()}
    if repeat == 0:
        arrays |= {f"network.{name}": tensor.numpy() for name, tensor in weights.of(network).items()}
    return arrays


def network_of(arm: Arm, n_classes: int, repeat: int, seed: int, state: Arrays | None = None) -> Segmenter:
    """The network that segments: from the weights of an arm, or with those of a finished cell."""
    pretrained = arm.encoder(repeat, seed) if arm.info.kind == "run" and state is None else None
    network = build(arm.spec, n_classes, seed, pretrained)
    if state is not None:
        own = {n.removeprefix("network."): torch.from_numpy(a) for n, a in state.items() if n.startswith("network.")}
        network.load_state_dict(own)
    return network


def overlap(arrays: Arrays) -> Overlap:
    """What a finished cell measured."""
    return Overlap(arrays["dice"], arrays["hd95"])


def usable(manifest: Manifest, store: VolumeStore, name: str, split: str) -> Ints:
    """Rows of a split whose volume and label map could be prepared."""
    masked = set(store.record_ids[store.has_mask(name)])
    rows = manifest.split_rows(split)
    ids = manifest.column("record_id")[rows]
    found: Ints = rows[np.array([one in masked for one in ids], dtype=bool)].astype(np.int64)
    return found


def problems(manifest: Manifest, store: VolumeStore, name: str) -> list[str]:
    """A sentence for each split and reason on volumes that are not used."""
    reasons = {**store.mask_quarantine.get(name, {}), **store.quarantine}
    ids, split = manifest.column("record_id"), manifest.column("split")
    found = Counter((str(split[i]), reasons[str(one)]) for i, one in enumerate(ids) if str(one) in reasons)
    whole = Counter(map(str, split))
    notes = [
        f"{many} of {whole[part]} volumes of the split {part} {'was' if many == 1 else 'were'} left out: {reason}."
        for (part, reason), many in sorted(found.items())
    ]
    paths = manifest.column(name)
    without = sum(path is None and str(one) not in store.quarantine for one, path in zip(ids, paths, strict=True))
    if without:
        notes.append(f"{without} of {len(manifest)} volumes have no label map and are not used.")
    return notes


def check(config: EvaluateConfig) -> None:
    """Refuse settings of training on label maps that are invalid.

    Raises:
        UsageError: with their names.
    """
    segment = config.segment
    if min(segment.iterations, segment.batch, segment.evaluate_every) < 1:
        raise UsageError("segment.iterations, segment.batch and segment.evaluate_every must be at least 1")
    if not 0 <= (segment.overlap or 0) < 1 or segment.mixup < 0 or segment.validation_volumes < 0:
        raise UsageError("segment.overlap is in [0, 1), segment.mixup and segment.validation_volumes are not negative")
    _check_mirror(segment.mirror)


def _check_mirror(axes: Sequence[int]) -> None:
    if len(set(axes)) < len(axes) or not set(axes) <= {0, 1, 2}:
        raise UsageError(f"segment.mirror {list(axes)}: axes of a patch are 0, 1 and, of cubes, 2, each once")


def validation_note(config: EvaluateConfig, available: int) -> str:
    """How the weights were chosen, in a sentence."""
    asked = config.segment.validation_volumes
    if not asked:
        return "The last weights were kept: no validation volumes were requested."
    if not available:
        return "The last weights were kept: no volume of the validation split has a label map."
    return f"The weights were chosen on up to {asked} labelled validation patients of each repeat."


def missing_structures(arm: str, overlaps: Sequence[Overlap]) -> list[str]:
    """A sentence on structures that one of the maps lacks, to which there is no distance."""
    values = np.concatenate([one.hd95.ravel() for one in overlaps])
    absent = int(np.isnan(values).sum())
    if not absent:
        return []
    return [
        f"{arm}: {absent} of {len(values)} predicted structures are in one of prediction and truth only: "
        "their Dice is 0, and they are left out of the mean Hausdorff distance."
    ]


def _one_each(manifest: Manifest, rows: Ints, count: int, seed: int) -> Ints:
    """One volume, of the rows (R,) with a usable label map, of each of `count` patients, or of as many as there are."""
    _, first = np.unique(manifest.column("patient")[rows], return_index=True)
    # In the order of the manifest, which does not depend on how the patients are coded.
    volumes = rows[np.sort(first)]
    chosen = np.random.default_rng([seed, 1]).permutation(len(volumes))[:count]
    return np.sort(volumes[chosen])


def learning_curves(models: Sequence[Planned], folder: Path) -> list[LearningCurve]:
    """The validation Dice of every network while it was trained."""
    found = []
    for one in models:
        arrays = read(folder, one.cell.key, ("iterations", "values", "best"))
        iterations, values = tuple(map(int, arrays["iterations"])), tuple(map(float, arrays["values"]))
        if iterations:
            best = int(arrays["best"])
            found.append(LearningCurve(one.arm.name, one.subset.label, one.repeat, iterations, values, best, one.fold))
    return found


def speed_of(curves: Sequence[LearningCurve], arm: str, scratch: str) -> list[Speed]:
    """How many iterations a pretrained arm takes to the final score of training from scratch, at every fraction."""
    known = {(one.arm, one.label, one.fold, one.repeat): one for one in curves}
    found = []
    for label in dict.fromkeys(one.label for one in curves):
        pairs = [
            (known[arm, *key[1:]], one)
            for key, one in known.items()
            if key[:2] == (scratch, label) and (arm, *key[1:]) in known
        ]
        if not pairs:
            continue
        levels = [float(np.mean(random.values[-SETTLED:])) for _, random in pairs]
        first = np.array([[_first(a, level), _first(b, level)] for (a, b), level in zip(pairs, levels, strict=True)])
        with np.errstate(invalid="ignore"):
            middle = np.median(np.column_stack([first, first[:, 0] / first[:, 1]]), axis=0)
        pretrained, random, ratio = (float(v) if np.isfinite(v) else float("nan") for v in middle)
        never = int((~np.isfinite(first[:, 0])).sum())
        found.append(Speed(label, arm, float(np.mean(levels)), pretrained, random, ratio, len(pairs), never))
    return found


def _first(curve: LearningCurve, level: float) -> float:
    """Iterations until a curve is first as high as a level; infinite where it never is."""
    return next((float(i) for i, value in zip(curve.iterations, curve.values, strict=True) if value >= level), np.inf)
