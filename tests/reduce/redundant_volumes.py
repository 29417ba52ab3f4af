"""Volumes in which every other slice is redundant, with label maps, and a recipe for them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from medcl.archive.manifest import Manifest, Masks

from ..data.volume_archive import manifest_of, save

PATIENTS, SLICES = 6, 12
RECIPE = """
method: slices
inputs:
  volume:
    data: {size: [16, 16, 1], percentiles: [0, 100]}
    encoder: {name: unet, dims: 2, widths: [4, 8], norm: batch}
objectives:
  global: {of: volume, head: {hidden: 8, map: true}}
batch: {patients: 3, records: 1, samples: 2}
optimiser: {steps: 4, average: none}
hardware: {accelerator: cpu}
"""


def archive(folder: Path) -> Manifest:
    """A volume a patient: the first slices blank, then pairs of equal slices; every other pair has a bright lesion."""
    for patient in range(PATIENTS):
        rng = np.random.default_rng(patient)
        data = np.zeros((16, 16, SLICES), dtype=np.int16)
        mask = np.zeros(data.shape, dtype=np.uint8)
        for pair in range(1, SLICES // 2):
            plane = rng.integers(50, 150, (16, 16))
            if pair % 2:
                plane[4:9, 4:9] += 300
                mask[4:9, 4:9, 2 * pair : 2 * pair + 2] = 1
            data[..., 2 * pair : 2 * pair + 2] = plane[..., None]
        save(folder / f"v{patient}.nii.gz", data)
        save(folder / f"m{patient}.nii.gz", mask)
    manifest = manifest_of(folder, patients=1)
    paths = pa.array([f"m{patient}.nii.gz" for patient in range(PATIENTS)])
    manifest = manifest.with_column("split", pa.array(["train", "train", "train", "val", "test", "test"]))
    with_masks = manifest.with_masks(Masks("lesion", ("background", "lesion")), paths)
    return Manifest(with_masks.table, with_masks.root, {**with_masks.metadata, "salt": "test"})
