"""A data set of synthetic images from an archive: its images, their quality, and what they give away."""

import csv
import json
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from medcl.archive.manifest import Manifest
from medcl.data.prepare import only, prepare
from medcl.engine.progress import watched
from medcl.errors import UsageError
from medcl.files import make_folder, safe_name, write
from medcl.modality import wing
from medcl.modality.image.config import ImageConfig
from medcl.reduce.condense import accuracy, condense
from medcl.reduce.config import CondenseConfig
from medcl.reduce.membership import Membership, membership

LABELS, RESULTS = "labels.csv", "condensed.json"


@dataclass(frozen=True)
class Condensed:
    """A data set of synthetic images.

    Args:
        folder: with the images as PNG, `labels.csv` and `condensed.json`.
        classes: of the target.
        used: number of real images that it was made of.
        synthetic: balanced accuracy, on other patients, of networks that are trained on it alone.
        real: of the same networks, trained on as many real images drawn at random.
        means: of the same networks, trained on the mean image of each class: what condensation has to beat.
        every: of the same networks, trained on all real images.
        membership: what it gives away.
    """

    folder: Path
    classes: tuple[str, ...]
    used: int
    synthetic: float
    real: float
    means: float
    every: float
    membership: Membership

    def __str__(self) -> str:
        """What was made, its quality and what it gives away."""
        return (
            f"{len(self.membership.ratios)} synthetic images of {self.used} real ones\n"
            f"balanced accuracy on other patients of networks trained on them alone: {self.synthetic:.3f}; on as many "
            f"real images: {self.real:.3f}; on the mean image of each class: {self.means:.3f}; on all: "
            f"{self.every:.3f}\n{self.membership}"
        )


@dataclass(frozen=True)
class _Images:
    """Real images of some patients: (N, C, rows, columns) from 0 to 255, (N,) classes and (N,) patients."""

    x: Tensor
    labels: Tensor
    patient: NDArray[np.int64]


def condense_archive(
    manifest: Manifest, target: str, config: CondenseConfig, store: Path, output: Path, *, jobs: int = -1
) -> Condensed:
    """Make synthetic images of the training patients' images and write them as a data set of its own.

    Patients of the other splits are not used: they measure the quality of the synthetic images, and what these give
    away.

    Args:
        manifest: with a split and a target of classes.
        target: column that names the class of an image.
        config: how.
        store: folder of prepared records.
        output: folder that is written; it must be empty or absent.
        jobs: processes that decode images.

    Raises:
        UsageError: the target has no classes, one of them no training image, or there are no other patients.
        MedclError: there are no images, or the folder is not empty.
    """
    if output.exists() and any(output.iterdir()):
        raise UsageError(f"{output}: is not empty; name a new folder")
    classes = _classes(manifest, target)
    used, others = _images(manifest, target, config, store, jobs)
    if missing := [name for k, name in enumerate(classes) if not (used.labels == k).any()]:
        raise UsageError(f"target {target!r}: no training image of the class {missing[0]!r}")
    if len(set(others.patient.tolist())) < 2:
        raise UsageError("condense: the check of membership needs two labelled patients outside the split `train`")
    mean, std = used.x.mean(), used.x.std().clamp_min(1e-6)
    x, test = ((one.x - mean) / std for one in (used, others))
    made = condense(x, used.labels, len(classes), config)
    # What is checked is what is written: whole grey values.
    pixels = (made * std + mean).round().clamp(0, 255).to(torch.uint8)
    labels = torch.arange(len(classes)).repeat_interleave(config.per_class)
    synthetic = (pixels.flatten(0, 1).float() - mean) / std
    numbers = torch.arange(len(classes))
    means = torch.stack([x[used.labels == number].mean(dim=0) for number in numbers])
    some = _as_many(x, used.labels, labels, config.seed)
    sets = watched(((synthetic, labels), some, (means, numbers), (x, used.labels)), "measure", "set of images", 4)
    worth = (accuracy(images, own, test, others.labels, len(classes), config) for images, own in sets)
    quality = dict(zip(("synthetic", "real", "means", "every"), worth, strict=True))
    flat = [one.flatten(1).numpy() for one in (synthetic, x, test)]
    leak = membership(flat[0], flat[1], used.patient, flat[2], others.patient)
    found = Condensed(output, classes, len(used.x), **quality, membership=leak)
    _write(output, found, pixels, config)
    return found


def _classes(manifest: Manifest, target: str) -> tuple[str, ...]:
    manifest.labels(target)
    found = manifest.targets[target]
    if found.kind not in ("binary", "multiclass"):
        raise UsageError(f"target {target!r}: {found.kind}; condense needs one class an image")
    return found.classes


def _images(manifest: Manifest, target: str, config: CondenseConfig, store: Path, jobs: int) -> tuple[_Images, _Images]:
    """Labelled images of the training patients, and of the others."""
    data, own = ImageConfig(size=config.size, colour=config.colour), wing("image")
    chosen = only(manifest, "image")
    chosen = chosen.select(np.flatnonzero(chosen.labels(target) >= 0))
    samples = own.samples(prepare(chosen, data, store, jobs=jobs), chosen, data)
    labels, patient = chosen.labels(target)[samples.rows], chosen.column("patient")[samples.rows]
    training = (chosen.column("split") == "train")[samples.rows]

    def part(which: NDArray[np.bool_]) -> _Images:
        numbers = np.flatnonzero(which)
        x = 255 * samples.__getitems__(numbers.tolist())["x"] if len(numbers) else torch.zeros(0)
        return _Images(x, torch.from_numpy(labels[numbers]), patient[numbers].astype(np.int64))

    return part(training), part(~training)


def _as_many(x: Tensor, labels: Tensor, wanted: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Real images at random, as many of each class."""
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for number in sorted(set(wanted.tolist())):
        own = torch.nonzero(labels == number)[:, 0]
        chosen.append(own[torch.randperm(len(own), generator=generator)[: int((wanted == number).sum())]])
    rows = torch.cat(chosen)
    return x[rows], labels[rows]


def _write(folder: Path, found: Condensed, pixels: Tensor, config: CondenseConfig) -> None:
    make_folder(folder)
    table = StringIO()
    rows = csv.writer(table)
    rows.writerow(["record", "class"])
    for name, images in zip(found.classes, pixels, strict=True):
        for number, one in enumerate(images):
            file = f"{safe_name(name)}-{number}.png"
            grey = one[0].numpy() if len(one) == 1 else one.permute(1, 2, 0).numpy()
            Pillow.fromarray(np.ascontiguousarray(grey)).save(folder / file)
            rows.writerow([file, name])
    write(folder / LABELS, table.getvalue())
    about = asdict(replace(found, folder=Path(folder.name))) | {"folder": folder.name, "settings": asdict(config)}
    write(folder / RESULTS, json.dumps(about, indent=2) + "\n")
