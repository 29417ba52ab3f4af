"""What recordings have to have for the recipe that is suggested first; importable without torch."""

import numpy as np

from medcl.modality.rows import Rows
from medcl.modality.signal.channels import canonical

_HEART_VECTOR = frozenset({"I", "II", "V1", "V2", "V3", "V4", "V5", "V6"})
_SHARE = 0.5


def many_leads(manifest: Rows) -> bool:
    """Whether most ECGs have the eight leads from which the heart vector follows."""
    own = manifest.column("modality") == "ecg"
    channels = [set(map(canonical, one)) for one in manifest.column("channels")[own]]
    return len(channels) > 0 and float(np.mean([one >= _HEART_VECTOR for one in channels])) > _SHARE


def several_recordings(manifest: Rows) -> bool:
    """Whether most persons have several EEGs, or several epochs of one."""
    patients = manifest.column("patient")[manifest.column("modality") == "eeg"]
    counts = np.unique(patients[patients >= 0], return_counts=True)[1]
    return len(counts) > 0 and float(np.mean(counts > 1)) > _SHARE
