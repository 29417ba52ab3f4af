"""Volumes of a segmentation: predicted on the prepared grid, measured and written on that of the file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl import files
from medcl.archive.file_state import require_unchanged, scanned, scanned_masks
from medcl.archive.manifest import Manifest, Masks
from medcl.archive.stratify import Ints
from medcl.data.decode import sources
from medcl.data.store import open_store
from medcl.engine.progress import watched
from medcl.errors import UnreadableError
from medcl.modality import wing
from medcl.modality.rows import Source
from medcl.modality.volume import original
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.original import restored, write_labels
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.store import VolumeStore
from medcl.stats.label_maps import dice, hausdorff95

Labels = NDArray[np.uint8]
WINDOWS_AT_A_TIME = 16
PIXELS_AT_A_TIME = 1 << 20
"""Of windows of slices, which may be whole."""
OVERLAPS = (0.5, 0.25)
"""Of slices and of cubes, where the configuration leaves it open: half costs cubes 8 times their volume."""


def overlap_of(overlap: float | None, axis: int | None) -> float:
    """The share by which neighbouring windows overlap: of slices across an axis, which is None for cubes."""
    return OVERLAPS[axis is None] if overlap is None else overlap


def predict(
    network: nn.Module,
    patches: VolumePatches,
    number: int,
    overlap: float | None,
    device: torch.device,
    *,
    whole: bool = False,
) -> Labels:
    """Predict the label map (x, y, z) of a prepared volume by its number, on its grid; see `predict_volume`.

    With `whole` slices pass the network as they are, not in overlapping windows: on slices a little larger than a
    window that takes 0.4 of the time, and differs in what the network sees beyond the edge of a window. Cubes never
    do.
    """
    volume = patches.volume(number)
    size: tuple[int, ...] = patches.size
    if whole and patches.axis is not None:
        size = tuple(max(pair) for pair in zip(size, volume.shape[1:], strict=True))
    return predict_volume(network, volume, size, patches.axis, overlap, device)


@torch.inference_mode()
def predict_volume(
    network: nn.Module,
    volume: Tensor,
    size: Sequence[int],
    axis: int | None,
    overlap: float | None,
    device: torch.device,
) -> Labels:
    """Predict the label map (x, y, z) of a scaled volume (C, x, y, z) in windows of a size, cut across an axis or not.

    The network, (B, C, *space) to logits (B, n_classes, *space), is run in evaluation mode and left as it was. For the
    overlap of neighbouring windows see `overlap_of`.
    """
    from monai.inferers.utils import sliding_window_inference

    was_training = network.training
    network.eval()
    images = volume[None] if axis is None else volume.movedim(axis + 1, 0)
    window = tuple(side for i, side in enumerate(size) if i != axis)
    fitting = WINDOWS_AT_A_TIME if axis is None else min(WINDOWS_AT_A_TIME, max(1, PIXELS_AT_A_TIME // prod(window)))
    infer = partial(
        sliding_window_inference,
        roi_size=window,
        sw_batch_size=fitting,
        predictor=network,
        overlap=overlap_of(overlap, axis),
        sw_device=device,
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        try:
            logits = infer(images, device=device)
        except torch.cuda.OutOfMemoryError:
            # The windows alone fit: the logits of a whole CT are then added up beside the device.
            logits = infer(images, device=torch.device("cpu"))
    network.train(was_training)
    classes = cast(Tensor, logits).argmax(dim=1).to(torch.uint8)
    labels: Labels = (classes[0] if axis is None else classes.movedim(0, axis)).cpu().numpy()
    return labels


Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Volumes that are predicted once by each finished network.

    Args:
        store: folder of the prepared store.
        manifest: of the records.
        rows: (V,) of the test volumes, ascending.
        masks: the column of label maps; None where they are only predicted.
        data: what a patch is.
    """

    store: Path
    manifest: Manifest
    rows: Ints
    masks: Masks | None
    data: VolumeConfig

    @cached_property
    def patches(self) -> VolumePatches:
        """The volumes and label maps on the prepared grid, in the order of `rows`."""
        name = None if self.masks is None else self.masks.name
        return VolumePatches(open_store(self.store, "volume"), self.manifest.select(self.rows), self.data, mask=name)

    def predictions(
        self, network: nn.Module, overlap: float | None, device: torch.device
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Number and predicted label map of every volume, on its grid before preparation, axes of RAS+."""
        network.to(device)
        for number in range(len(self.rows)):
            prepared = predict(network, self.patches, number, overlap, device)
            yield number, restored(self.patches.store, int(self.patches.records[number]), prepared)

    def measure(self, network: nn.Module, overlap: float | None, device: torch.device) -> tuple[Floats, Floats]:
        """Dice and 95% Hausdorff distance (mm) of every structure, (structures, volumes) each."""
        assert self.masks is not None
        n_classes, found = len(self.masks.classes), []
        for number, predicted in self.predictions(network, overlap, device):
            store, record = self.patches.store, int(self.patches.records[number])
            truth = labels_of(store, record, self.manifest, int(self.rows[number]), self.masks.name)
            distance = hausdorff95(truth, predicted, n_classes, store.original_grid(record).spacing)
            found.append((dice(truth, predicted, n_classes), distance))
        dices, distances = np.moveaxis(np.array(found, dtype=np.float64), 0, 2)
        return dices, distances

    def write(self, network: nn.Module, overlap: float | None, device: torch.device, folder: Path) -> None:
        """Write the predicted label maps as NIfTI, on the grids of the files, named by the code of the record."""
        ids = self.manifest.column("record_id")
        predictions = self.predictions(network, overlap, device)
        for number, predicted in watched(predictions, "label maps", "volume", len(self.rows)):
            row, record = int(self.rows[number]), int(self.patches.records[number])
            write_labels(
                folder / file_name(str(ids[row])), predicted, self.patches.store, record, source_of(self.manifest, row)
            )


def file_name(record: str) -> str:
    """Of the predicted label map of a record: where ids may be kept in clear, that of a record is its path."""
    return f"{files.safe_name(record.replace('/', '_'))}.nii.gz"


def source_of(manifest: Manifest, row: int) -> Source:
    """The files of a volume."""
    chosen = manifest.select([row])
    (found,) = sources(chosen, wing("volume"), scanned(chosen))
    return found


def labels_of(store: VolumeStore, record: int, manifest: Manifest, row: int, mask: str) -> NDArray[np.int16]:
    """The label map of a volume as `original.labels_of` reads it.

    Raises:
        UnreadableError: the label map cannot be read any more, has changed since the scan, or is not one of this
            volume.
    """
    (known,) = scanned_masks(manifest.select([row]), mask)
    if known is None:
        raise UnreadableError(f"there is no label map {mask!r} of this volume")
    require_unchanged(known)
    return original.labels_of(store, record, source_of(manifest, row), known.root / known.path)
