"""200 volumes whose slices are near-duplicates in known number: does reduction help a contrast of slices?

`python -m tests.reduce.near_duplicates FOLDER` writes them, with their manifest.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medcl.archive.manifest import Manifest, Masks

from ..data.volume_archive import manifest_of, save

VOLUMES, PLANES, COPIES, SIZE = 200, 6, 4, 32
NOISE = 3.0
"""By which copies differ; the anatomy has values of about 0 to 400, and a lesion 60 more than what is around it."""


def volume(rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Planes of smooth anatomy, each several times in a row with new noise; half of them with a lesion."""
    shape = (SIZE, SIZE, PLANES * COPIES)
    data, mask = np.zeros(shape), np.zeros(shape, np.uint8)
    lesions = rng.permutation(np.arange(PLANES) < PLANES // 2)
    y, x = np.mgrid[:SIZE, :SIZE]
    for number, lesion in enumerate(lesions):
        plane = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 4.0)
        plane = 200 + 80 * plane / plane.std()
        row, column = rng.integers(8, SIZE - 8, 2)
        spot = (y - row) ** 2 + (x - column) ** 2 <= 9
        own = slice(number * COPIES, (number + 1) * COPIES)
        data[..., own] = (plane + 60 * (spot & lesion))[..., None]
        mask[..., own] = (spot & lesion)[..., None]
    return (data + NOISE * rng.standard_normal(shape)).astype(np.int16), mask


def archive(folder: Path, count: int = VOLUMES) -> Path:
    """Write volumes, label maps and the manifest; half of the patients are trained on, a third tested."""
    folder.mkdir(parents=True)
    for patient in range(count):
        data, mask = volume(np.random.default_rng([patient, 7]))
        save(folder / f"v{patient:03d}.nii.gz", data)
        save(folder / f"m{patient:03d}.nii.gz", mask)
    manifest = manifest_of(folder, patients=1)
    split = ["train" if one < count // 2 else "val" if one < count * 2 // 3 else "test" for one in range(count)]
    manifest = manifest.with_column("split", pa.array(split))
    paths = pa.array([f"m{patient:03d}.nii.gz" for patient in range(count)])
    found = manifest.with_masks(Masks("lesion", ("background", "lesion")), paths)
    Manifest(found.table, found.root, {**found.metadata, "salt": "phantom"}).write(folder / "volumes.parquet")
    return folder / "volumes.parquet"


if __name__ == "__main__":
    print(archive(Path(sys.argv[1])))
