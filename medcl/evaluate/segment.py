"""`medcl finetune` on a column of label maps: a run and a manifest in, results.json and report.html out."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl import runs
from medcl.archive.manifest import Manifest, Target
from medcl.archive.split import check
from medcl.archive.stratify import Ints
from medcl.data.prepare import prepare
from medcl.embed.encoders import device
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.evaluate import segment_experiment as experiment
from medcl.evaluate.config import SegmentationConfig
from medcl.evaluate.fractions import check as check_fractions
from medcl.evaluate.page import SegmentImages, ShownVolume, write_page
from medcl.evaluate.results import Difference, Init, MetricSummary, Procedure, Results, Score, Split, made_with
from medcl.evaluate.segment_predict import predict
from medcl.evaluate.segment_results import Segmentation, SegmentCell, speed_of
from medcl.evaluate.segment_train import check as check_network
from medcl.evaluate.task import CellKey, Floats, estimates, fractions
from medcl.evaluate.wording import init_name
from medcl.modality import wing
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.store import VolumeStore
from medcl.show.images import data_uri, png
from medcl.stats.intervals import patient_weights
from medcl.wording import number

SEGMENT_PROTOCOL = "finetune"
SEGMENT_METRICS = ("dice", "hd95")
PALETTE = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178)),
    *((128, 62, 180), (170, 230, 120), (150, 80, 40), (255, 180, 190), (0, 90, 90)),
)
"""Okabe and Ito's colours, distinguishable to the colour-blind, then five more for label maps of many structures."""
OPACITY = 0.55
CELLS = "segmentations"
"""Folder of finished networks, next to the stores."""


def draw(
    setting: experiment.SegmentSetting, work: Sequence[experiment.SegmentWork], cells: Sequence[SegmentCell]
) -> SegmentImages:
    """Draw the worst and the best test volume.

    Returns:
        The images; none where the weights of the networks were deleted.
    """
    smallest = min(work, key=lambda one: len(one.subset.rows)).subset.label
    chosen = [one for one in work if one.repeat == 0 and one.subset.label == smallest]
    networks = {one.init: network.to(device()) for one, network in experiment.kept(setting, chosen)}
    if len(networks) < 2:
        return SegmentImages()
    dice = {
        cell.init: np.mean(list(cell.dice.values()), axis=0)
        for one, cell in zip(work, cells, strict=True)
        if one.repeat == 0 and one.subset.label == smallest
    }
    patches, rows = setting.held_out.patches, []
    order, axis = np.argsort(dice["pretrained"], kind="stable"), patches.across
    for title, volume in (("Worst", int(order[0])), ("Best", int(order[-1]))):
        truth: NDArray[np.uint8] = patches.labels(volume).numpy()
        # The slice in which most of the structures is to be seen.
        place = int(np.argmax((truth > 0).sum(axis=tuple(i for i in range(3) if i != axis))))
        ground = _grey(patches.volume(volume)[0].numpy().take(place, axis))
        shown = {"image": ground, "truth": _overlay(ground, np.take(truth, place, axis))}
        for init in experiment.INITS:
            labels = predict(networks[init], patches, volume, setting.config.segment.overlap, device())
            caption = f"{init_name(SEGMENT_PROTOCOL, init)}, Dice {number(float(dice[init][volume]), digits=2)}"
            shown[caption] = _overlay(ground, np.take(labels, place, axis))
        sides = np.delete(patches.store.spacing[patches.records[volume]], axis)
        rows.append(ShownVolume(title, tuple((caption, _png(one, sides)) for caption, one in shown.items())))
    names = setting.masks.classes[1:]
    return SegmentImages(tuple(rows), tuple((name, f"rgb{_colour(k)}") for k, name in enumerate(names)))


def _colour(structure: int) -> tuple[int, int, int]:
    return PALETTE[structure % len(PALETTE)]


def _grey(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """A slice scaled to [0, 1], as (a, b, 3) of 0 to 255."""
    return np.repeat(255.0 * np.clip(plane, 0, 1)[:, :, None], 3, axis=2)


def _overlay(ground: NDArray[np.float64], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A slice with its structures in colour."""
    colours = np.array([(0, 0, 0), *(_colour(k) for k in range(int(labels.max(initial=0))))], dtype=np.float64)
    mixed = (1 - OPACITY) * ground + OPACITY * colours[labels]
    return np.where((labels > 0)[:, :, None], mixed, ground)


def _png(plane: NDArray[np.float64], spacing: NDArray[np.float64]) -> str:
    """A slice as a data URI: its first axis to the right, its second upwards, its voxels as long as they are."""
    upright = plane.transpose(1, 0, 2)[::-1].astype(np.uint8)
    return data_uri(png(upright, spacing=(float(spacing[1]), float(spacing[0])), smooth=False))


def evaluate_masks(
    run_folder: Path, manifest: Manifest, config: SegmentationConfig, store: Path, output: Path
) -> Results:
    """Compare segmentation by an encoder with the same network from random weights at every label fraction.

    Args:
        run_folder: of the pretrained run.
        manifest: volumes with splits and label maps.
        config: what to measure.
        store: folder in which volumes are prepared once, and finished networks are kept.
        output: folder for results.json and report.html.

    Raises:
        UsageError: the configuration is invalid, or the run's network has no decoder.
        MedclError: the run, the label maps or the splits do not allow it; `LeakError` where a test patient was trained
            on.
    """
    _check(config, manifest)
    run = runs.load_volumes(run_folder)
    check_network(run.card)
    manifest = manifest.ok().of_kind("volume")
    check(manifest)
    data: VolumeConfig = wing("volume").data_of(run.card)
    prepared = prepare(manifest, data, store, jobs=config.jobs)
    rows = {split: _usable(manifest, prepared, config.target, split) for split in ("train", "val", "test")}
    if not len(rows["test"]):
        raise MedclError(
            f"no volume of the test split has a label map {config.target!r} that can be used"
            + "".join(f"; {note}" for note in _problems(manifest, prepared, config.target))
        )
    warning = runs.guard(run, manifest, rows["test"], allow=config.allow_transductive)
    masks = manifest.masks[config.target]
    setting = experiment.SegmentSetting(
        run_folder, prepared.folder, store / CELLS, manifest, masks, data, config, *rows.values()
    )
    drawn = experiment.subsets(setting)
    work = experiment.plan(setting, run.card, run.encoder, drawn)
    cells = experiment.run_all(setting, work)
    patients = manifest.column("patient")[rows["test"]]
    summaries, differences = summarise_segmentation(cells, patients, config.bootstrap, config.seed)
    notes = [*([warning] if warning else []), *_problems(manifest, prepared, config.target)]
    results = Results(
        run=str(run_folder),
        method=str(run.config.get("method", "")),
        target=Target(config.target, "multiclass", setting.masks.classes[1:]),
        protocols=(SEGMENT_PROTOCOL,),
        metric="dice",
        config={"evaluation": asdict(config), "pretraining": run.config},
        splits={split: _split(manifest, part, config.target) for split, part in rows.items()},
        notes=(*notes, *_validation(config, len(rows["val"])), *missing_structures(cells)),
        fractions=tuple(fractions(drawn)),
        procedure=Procedure(config.seed, config.repeats, config.bootstrap, config.unit),
        scores=tuple(segment_scores(cells)),
        summary=tuple(summaries),
        differences=tuple(differences),
        segmentation=Segmentation(tuple(cells), speed_of(cells)),
        **made_with(),
    )
    results.save(output / "results.json")
    write_page(results, output / "report.html", draw(setting, work, cells))
    if config.save_masks:
        _save_masks(setting, work, output / "masks")
    return results


def _check(config: SegmentationConfig, manifest: Manifest) -> None:
    if config.target not in manifest.masks:
        raise UsageError(
            f"--target {config.target}: the manifest has the label maps {', '.join(manifest.masks) or '(none)'}"
            f"{did_you_mean(config.target, manifest.masks)}"
        )
    check_fractions(config.labels, config.repeats)
    if min(config.segment.iterations, config.segment.batch, config.segment.evaluate_every) < 1:
        raise UsageError("segment.iterations, segment.batch and segment.evaluate_every must be at least 1")
    if not 0 <= (config.segment.overlap or 0) < 1 or config.segment.mixup < 0 or config.segment.validation_volumes < 0:
        raise UsageError("segment.overlap is in [0, 1), segment.mixup and segment.validation_volumes are not negative")


def _usable(manifest: Manifest, store: VolumeStore, name: str, split: str) -> Ints:
    """Rows of a split whose volume and label map could be prepared."""
    masked = set(store.record_ids[store.has_mask(name)])
    rows = manifest.split_rows(split)
    ids = manifest.column("record_id")[rows]
    usable: Ints = rows[np.array([one in masked for one in ids], dtype=bool)].astype(np.int64)
    return usable


def _problems(manifest: Manifest, store: VolumeStore, name: str) -> list[str]:
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


def _validation(config: SegmentationConfig, available: int) -> list[str]:
    asked = config.segment.validation_volumes
    if not asked:
        return ["The last weights were kept: no validation volumes were requested."]
    if not available:
        return ["The last weights were kept: no volume of the validation split has a label map."]
    return [f"The weights were chosen on up to {asked} labelled validation patients of each repeat."]


def _split(manifest: Manifest, rows: Ints, name: str) -> Split:
    ids, paths = manifest.column("record_id")[rows], manifest.column(name)[rows]
    digest = hashlib.blake2b("\n".join(f"{a} {b}" for a, b in zip(ids, paths, strict=True)).encode(), digest_size=8)
    return Split(len(np.unique(manifest.column("patient")[rows])), len(rows), {}, digest.hexdigest())


def _save_masks(setting: experiment.SegmentSetting, work: list[experiment.SegmentWork], folder: Path) -> None:
    """The predictions of repeat 0: masks/INITIALISATION/LABELS/RECORD.nii.gz."""
    for one, network in experiment.kept(setting, work):
        where = folder / one.init / one.subset.label.replace("%", " percent")
        setting.held_out.write(network, setting.config.segment.overlap, device(), where)


def segment_scores(cells: Sequence[SegmentCell]) -> Iterator[Score]:
    """The means of every network: over test volumes of each structure, and over these."""
    for cell in cells:
        values = {metric: _structures(cell, metric) for metric in SEGMENT_METRICS}
        per_class = {
            name: {metric: _mean(values[metric][k]) for metric in SEGMENT_METRICS} for k, name in enumerate(cell.dice)
        }
        means = {metric: _mean(values[metric]) for metric in SEGMENT_METRICS}
        yield Score(SEGMENT_PROTOCOL, cell.init, cell.label, cell.repeat, cell.seed, means, per_class)


def summarise_segmentation(
    cells: Sequence[SegmentCell], patients: NDArray[np.int64], n_boot: int, seed: int
) -> tuple[list[MetricSummary], list[Difference]]:
    """Means with both intervals, and the paired differences pretrained - random, of test volumes of patients (V,)."""
    values: dict[tuple[CellKey, str], list[float]] = {}
    boot: dict[CellKey, dict[str, Floats]] = defaultdict(dict)
    inits: tuple[Init, ...] = ("pretrained", "random")
    for label, metric, init in product(dict.fromkeys(cell.label for cell in cells), SEGMENT_METRICS, inits):
        mine = sorted((c for c in cells if (c.init, c.label) == (init, label)), key=lambda c: c.repeat)
        arrays, key = [_structures(cell, metric) for cell in mine], (SEGMENT_PROTOCOL, init, label)
        values[key, metric] = [_mean(one) for one in arrays]
        boot[key][metric] = np.mean([_resampled(one, patients, n_boot, seed) for one in arrays], axis=0)
    return estimates(values, boot)


def missing_structures(cells: Sequence[SegmentCell]) -> list[str]:
    """A sentence an initialisation on structures that one of the maps lacks, to which there is no distance."""
    notes = []
    for init, name in (("pretrained", "pretrained weights"), ("random", "random weights")):
        values = np.concatenate([_structures(cell, "hd95").ravel() for cell in cells if cell.init == init])
        absent = int(np.isnan(values).sum())
        if absent:
            notes.append(
                f"From {name}, {absent} of {len(values)} predicted structures are in one of prediction and truth only: "
                "their Dice is 0, and they are left out of the mean Hausdorff distance."
            )
    return notes


def _structures(cell: SegmentCell, metric: str) -> Floats:
    """A metric of one network, (structures, volumes)."""
    return np.array(list(getattr(cell, metric).values()), dtype=np.float64)


def _mean(values: Floats) -> float:
    """The mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _resampled(values: Floats, patients: NDArray[np.int64], n_boot: int, seed: int) -> Floats:
    """Mean over structures and volumes in every resample of the patients, (n_boot,)."""
    defined = ~np.isnan(values)
    sums, counts = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
    parts = []
    for weights in patient_weights(patients, n_boot=n_boot, seed=seed):
        total, count = sums @ weights, counts @ weights
        parts.append(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
    return np.concatenate(parts) if parts else np.empty(0)
