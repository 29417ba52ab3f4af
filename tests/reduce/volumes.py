"""Volumes of which it is known what is redundant in them."""

from pathlib import Path

import numpy as np

from medcl.archive.manifest import Manifest

from ..data.volume_archive import manifest_of, save


def blobs(seed: int, shape: tuple[int, int] = (40, 36)) -> np.ndarray:
    """A smooth image that has nothing in common with those of other seeds, (rows, columns) int16."""
    coarse = np.random.default_rng(seed).integers(0, 900, (9, 9)).astype(np.int16)
    return np.kron(coarse, np.ones((5, 5), dtype=np.int16))[: shape[0], : shape[1]]


def volume(seeds: list[int], shape: tuple[int, int] = (40, 36)) -> np.ndarray:
    """A slice along z for each seed."""
    return np.stack([blobs(seed, shape) for seed in seeds], axis=-1)


def archive(root: Path, volumes: list[list[int]], patients: int = 2) -> Manifest:
    """Volumes `v0.nii.gz`, ... with these slices, so many a patient."""
    for i, seeds in enumerate(volumes):
        save(root / f"v{i}.nii.gz", volume(seeds))
    return manifest_of(root, patients=patients)
