"""A run on recordings whose random weights stand for pretrained ones, and that has seen the training patients."""

from pathlib import Path

import numpy as np
import torch

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from medcl.seen import SeenPatients


def write_run(folder: Path, manifest: Manifest) -> Path:
    """Write the run."""
    encoder = SignalEncoderConfig("resnet", dim=16, hidden=8, depth=2, stride=4)
    card = SignalCard(encoder, ("I", "II", "V1", "V5"), 100.0, 2.0, "record")
    patients = np.unique(manifest.column("patient")[manifest.split_rows("train")])
    runs.start(folder, {"method": "comet"}, SeenPatients.of(patients.tolist(), manifest.metadata["salt"]))
    torch.manual_seed(5)
    runs.save_encoder(folder, card.build(), card)
    return folder
