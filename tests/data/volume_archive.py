"""Small archives of NIfTI volumes and their manifest, made at test time."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow as pa

from medcl.archive.manifest import Manifest, Masks
from medcl.archive.schema import SCHEMA
from medcl.modality.volume.formats import nifti

CLASSES = ("background", "organ", "lesion")


def noise(shape: tuple[int, ...] = (20, 24, 16), seed: int = 0) -> np.ndarray:
    """int16 voxels of an MR."""
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)


def labels(shape: tuple[int, ...] = (20, 24, 16), seed: int = 0) -> np.ndarray:
    """uint8 label map of three classes."""
    return np.random.default_rng(seed).integers(0, len(CLASSES), shape).astype(np.uint8)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """A NIfTI file of these voxels, 1 x 1 x 2 mm where nothing else is said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine), path)
    return path


def manifest_of(root: Path, masks: dict[str, str] | None = None, patients: int = 2, **columns: Any) -> Manifest:
    """The manifest of the files `v*` of a folder; the volume i is of patient i // patients.

    Args:
        root: of the archive.
        masks: name of a volume's file -> that of its label map.
        patients: volumes of a patient.
        columns: that are set for all rows, such as `flags`.
    """
    rows = []
    for i, path in enumerate(sorted(root.glob("v*"))):
        header = nifti.read_header(path)
        grid, about = header.grid.to_ras(), path.stat()
        rows.append(
            {
                "record_id": f"r{i}",
                "modality": "mr",
                "format": "nifti",
                "path": path.name,
                "patient": i // patients,
                "study": i,
                "trial": 100 + i,
                "n_channels": header.n_channels,
                "shape": list(grid.shape),
                "spacing": grid.spacing.tolist(),
                "orientation": header.grid.orientation,
                "dtype": header.dtype,
                "part": 0,
                "flags": list(header.flags),
                "files": [path.name],
                "size": about.st_size,
                "mtime_ns": about.st_mtime_ns,
                "status": "ok",
                **columns,
            }
        )
    manifest = Manifest(pa.Table.from_pylist(rows, schema=SCHEMA), root)
    if masks is None:
        return manifest
    paths = [masks.get(str(path)) for path in manifest.column("path")]
    return manifest.with_masks(Masks("organs", CLASSES), pa.array(paths, pa.string()))


def archive(root: Path, count: int = 4, shape: tuple[int, ...] = (20, 24, 16)) -> Manifest:
    """Volumes `v0.nii.gz`, ... with label maps `m0.nii.gz`, ..., two a patient."""
    for i in range(count):
        save(root / f"v{i}.nii.gz", noise(shape, i))
        save(root / f"m{i}.nii.gz", labels(shape, i))
    return manifest_of(root, {f"v{i}.nii.gz": f"m{i}.nii.gz" for i in range(count)})
