"""The test volumes of a segmentation: predicted on the prepared grid, measured on that of the file.

Slices off a regular grid that were resampled onto one are measured on that one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medcl import files
from medcl.archive.manifest import Manifest, Masks
from medcl.archive.stratify import Ints
from medcl.evaluate.segment_predict import predict
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.original import grid_of, labels_of, restored, write_labels
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.store import VolumeStore
from medcl.stats.label_maps import dice, hausdorff95

Measures = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class HeldOut:
    """Volumes that are predicted once by each finished network.

    Args:
        store: folder of the prepared store.
        manifest: of the records.
        rows: (V,) of the test volumes, ascending.
        masks: the column of label maps.
        data: what a patch is.
    """

    store: Path
    manifest: Manifest
    rows: Ints
    masks: Masks
    data: VolumeConfig

    @cached_property
    def patches(self) -> VolumePatches:
        """The volumes and label maps on the prepared grid, in the order of `rows`."""
        return VolumePatches(
            VolumeStore.open(self.store), self.manifest.select(self.rows), self.data, mask=self.masks.name
        )

    def predictions(
        self, network: nn.Module, overlap: float | None, device: torch.device
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Number and predicted label map of every volume, on its grid before preparation, axes of RAS+."""
        network.to(device)
        for number in range(len(self.rows)):
            prepared = predict(network, self.patches, number, overlap, device)
            yield number, restored(self.patches.store, int(self.patches.records[number]), prepared)

    def measure(self, network: nn.Module, overlap: float | None, device: torch.device) -> tuple[Measures, Measures]:
        """Dice and 95% Hausdorff distance (mm) of every structure: {structure: one value a volume}."""
        n_classes, found = len(self.masks.classes), []
        for number, predicted in self.predictions(network, overlap, device):
            store, record = self.patches.store, int(self.patches.records[number])
            truth = labels_of(store, record, self.manifest, int(self.rows[number]), self.masks.name)
            distance = hausdorff95(truth, predicted, n_classes, grid_of(store, record).spacing)
            found.append((dice(truth, predicted, n_classes), distance))
        dices, distances = (
            {name: tuple(map(float, values[:, k])) for k, name in enumerate(self.masks.classes[1:])}
            for values in np.swapaxes(np.array(found), 0, 1)
        )
        return dices, distances

    def write(self, network: nn.Module, overlap: float | None, device: torch.device, folder: Path) -> None:
        """Write the predicted label maps as NIfTI, on the grids of the files, named by the code of the record.

        Args:
            network: trained.
            overlap: of neighbouring windows, as a share; None is as `overlap_of` has it.
            device: where to predict.
            folder: of the files.
        """
        ids = self.manifest.column("record_id")
        for number, predicted in self.predictions(network, overlap, device):
            row, record = int(self.rows[number]), int(self.patches.records[number])
            # Where ids may be kept in clear, that of a record is its path.
            path = folder / f"{files.safe_name(str(ids[row]).replace('/', '_'))}.nii.gz"
            write_labels(path, predicted, self.patches.store, record, self.manifest, row)
