"""What `medcl reduce --evaluate` tests encoders by: a linear probe of records, or of slices that show a structure."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest, Target
from medcl.commands.reduction_folds import Fold
from medcl.embed.embedding import Embeds, embed_pieces
from medcl.embed.pieces import PieceConfig, Pieces, pieces, prepared
from medcl.embed.sides import device
from medcl.errors import UsageError
from medcl.evaluate.probe import linear_probe
from medcl.evaluate.task import Task
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.store import VolumeStore
from medcl.modality.volume.tiles import VolumeTiles
from medcl.stats.metrics import measure

if TYPE_CHECKING:
    from medcl.pretrain.plan import Config

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """What is classified.

    Args:
        task: with the label of each.
        row: (S,) row of the manifest of each.
        pieces: that the encoder takes.
        numbers: (P,) those that belong to a sample.
        sample: (P,) to which; the embedding of a sample is the mean of its pieces'.
        what: they are, in words.
    """

    task: Task
    row: Ints
    pieces: Pieces
    numbers: Ints
    sample: Ints
    what: str

    def scores(self, encoder: Embeds, fold: Fold) -> dict[str, float]:
        """The test metrics of a probe on the embeddings of an encoder.

        Raises:
            MedclError: the metric is not defined on the test or the validation patients.
        """
        z = np.zeros((len(self.row), encoder.config.dim))
        for part, some in embed_pieces(encoder, self.pieces, self.numbers, device()):
            np.add.at(z, self.sample[part], some.float().cpu().numpy())
        z /= np.bincount(self.sample, minlength=len(self.row))[:, None]
        fit, validation, test = (np.flatnonzero(one[self.row]) for one in (fold.fit, fold.validation, fold.test))
        predict = linear_probe(self.task, z, fit, validation)
        # Raises where it is not defined.
        self.task.score(test, predict(z[test]))
        found = measure(self.task.target.kind, self.task.labels[test], predict(z[test]), self.task.target.classes)
        return {name: float(value) for name, value in found.metrics.items()}


def data_of(config: "Config") -> PieceConfig:
    """What a piece is for the encoders of a recipe.

    Raises:
        UsageError: the recipe trains on several modalities, or on none that can be reduced and probed.
    """
    data = getattr(config, "data", None)
    if data is None:
        raise UsageError(
            f"--config: {config.method} trains on pictures, reports or several modalities; --evaluate takes recipes "
            "for volumes and for recordings"
        )
    chosen: PieceConfig = data
    return chosen


def samples_of(manifest: Manifest, config: PieceConfig, store: Path, target: str, jobs: int) -> Samples:
    """The samples of a target.

    Args:
        manifest: of readable records.
        config: of the pieces.
        store: folder of prepared records.
        target: a column of label maps: a sample is a slice that is not blank, its label whether any voxel of it is
            labelled. Or a column of labels: a sample is a record.
        jobs: processes that prepare.

    Raises:
        UsageError: there is no such target, or it has no two classes.
    """
    folder = prepared(manifest, config, store, jobs)
    if target in manifest.masks:
        if not isinstance(config, VolumeConfig):
            raise UsageError(f"--target {target}: label maps are of volumes, the recipe is not")
        return _slices(VolumePatches(VolumeStore.open(folder), manifest, config, mask=target), target)
    if target not in manifest.targets:
        known = ", ".join([*manifest.targets, *manifest.masks]) or "none"
        raise UsageError(f"--target {target}: the manifest has no such labels or label maps; it has {known}")
    task = Task.of(manifest, target)
    parts = pieces(folder, manifest, config)
    rows = np.intersect1d(parts.rows, np.flatnonzero(task.labelled))
    if not len(rows):
        raise UsageError(f"--target {target}: no record that the recipe takes has a label")
    numbers = np.flatnonzero(np.isin(parts.rows, rows))
    labels = task.labels[rows]
    return Samples(
        Task(task.target, labels), rows, parts, numbers, np.searchsorted(rows, parts.rows[numbers]), "records"
    )


@torch.inference_mode()
def _slices(patches: VolumePatches, target: str) -> Samples:
    across = patches.axis
    if across is None:
        raise UsageError(f"--target {target}: of label maps slices are tested; the recipe's data.size is of volumes")
    tiles = VolumeTiles(patches)
    flat = tuple(axis for axis in range(3) if axis != across)
    shown, labelled = [], []
    for volume in range(len(patches)):
        voxels = patches.volume(volume)
        shown.append(
            (voxels.amax((0, *(axis + 1 for axis in flat))) > voxels.amin((0, *(axis + 1 for axis in flat)))).numpy()
        )
        labelled.append((patches.labels(volume) > 0).numpy().any(axis=flat))
    volume_of = np.searchsorted(patches.rows, tiles.rows)
    # In a volume that is thinner than a patch, a slice begins before the first one.
    place = np.clip(tiles.starts[:, across], 0, patches.shape[volume_of, across] - 1)
    seen = np.array([shown[volume][at] for volume, at in zip(volume_of, place, strict=True)], dtype=bool)
    numbers = np.flatnonzero(seen)
    pairs, sample = np.unique(np.stack([volume_of[numbers], place[numbers]]), axis=1, return_inverse=True)
    labels = np.array([labelled[volume][at] for volume, at in pairs.T], dtype=np.int64)
    if len(np.unique(labels)) < 2:
        raise UsageError(f"--target {target}: every slice that is not blank has the same label")
    task = Task(Target(target, "binary", ("absent", "present")), labels)
    return Samples(task, patches.rows[pairs[0]], tiles, numbers, sample.reshape(-1), "slices")
