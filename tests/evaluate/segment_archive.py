"""A small archive of synthetic heads with label maps, and a run to segment them with."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskRule
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import VolumeCard
from medcl.modality.volume.config import VolumeConfig
from medcl.phantom import mr as head
from medcl.phantom.volumes import write_mr

CLASSES = ("background", *head.STRUCTURES)
SLICES = VolumeConfig(size=(16, 16, 1))
NETWORK = ImageEncoderConfig("unet", widths=(2, 4, 4), dim=4)


def scan(folder: Path, classes: tuple[str, ...] = CLASSES, fractions: tuple[float, ...] = (4, 2, 2)) -> Manifest:
    """The manifest of the images in `folder/mr` with the label maps in `folder/masks`."""
    output = folder / "mr.parquet"
    build_manifest(
        ScanRequest(
            folder=folder / "mr",
            output=output,
            labels=folder / "mr" / "labels.csv",
            record_column="record",
            patient_column="patient",
            target_columns=("lesion",),
            masks=MaskRule("../masks/{folder}/{name}", classes),
            fractions=fractions,
            jobs=1,
        )
    )
    return Manifest.read(output)


def write_heads(folder: Path, patients: int = 8, fractions: tuple[float, ...] = (4, 2, 2)) -> Manifest:
    """Write heads of 16 x 16 x 8 voxels and scan them."""
    write_mr(folder / "mr", folder / "masks", patients, seed=3, shape=(16, 16, 8))
    return scan(folder, fractions=fractions)


def write_run(
    folder: Path,
    manifest: Manifest,
    *,
    network: ImageEncoderConfig = NETWORK,
    data: VolumeConfig = SLICES,
    split: str = "train",
    seed: int = 5,
) -> Path:
    """A run whose random weights stand for pretrained ones, and that has seen the patients of a split."""
    card = VolumeCard(network, 1, "mr", asdict(data))
    patients = np.unique(manifest.column("patient")[manifest.split_rows(split)])
    runs.start(folder, {"method": "global"}, runs.SeenPatients.of(patients.tolist(), manifest.metadata["salt"]))
    torch.manual_seed(seed)
    runs.save_encoder(folder, card.build(), card)
    return folder
