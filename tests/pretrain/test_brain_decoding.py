"""A stimulus that was recorded with an EEG is another input of the same windows, and is found again from the EEG."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import medcl
from medcl import runs
from medcl.errors import UsageError
from medcl.modality.signal.samples import SignalWindows
from medcl.pretrain.reading import read

from . import shipped

NAMES = ["Fz", "Cz", "Pz", "envelope"]
SUBJECTS, WINDOWS, LENGTH = 8, 24, 96


def recordings(seed: int, *, apart: bool = False) -> tuple[Tensor, np.ndarray]:
    """Windows (n, 4, T): electrodes see noise and the envelope, each subject by other weights; and the subjects."""
    rng = np.random.default_rng(seed)
    count = SUBJECTS * WINDOWS
    subject = np.repeat(np.arange(SUBJECTS), WINDOWS)
    slow = np.fft.irfft(np.fft.rfft(rng.normal(size=(count, LENGTH))) * (np.arange(LENGTH // 2 + 1) < 10), LENGTH)
    heard = slow / slow.std(axis=1, keepdims=True)
    weights = np.random.default_rng(5).uniform(0.5, 1.5, (SUBJECTS, 3))[subject]
    brain = weights[:, :, None] * heard[:, None] + rng.normal(0, 1, (count, 3, LENGTH))
    stimulus = rng.permutation(heard) if apart else heard
    return torch.tensor(np.concatenate([brain, stimulus[:, None]], axis=1), dtype=torch.float32), subject


def trained(folder: Path, *, apart: bool = False) -> runs.Run[Any, Any]:
    found = shipped.content("brain_decoding")
    for name in ("eeg", "stimulus"):
        found["inputs"][name]["encoder"] |= {"dim": 16, "hidden": 8, "depth": 2, "stride": 4, "dropout": 0.0}
    found["optimiser"] = {"steps": 80, "learning_rate": 0.01}
    found["batch"], found["hardware"] = {"patients": 8, "samples": 4}, {"accelerator": "cpu"}
    x, subject = recordings(0, apart=apart)
    samples = {"x": x, "ids": {"patient": subject, "trial": subject}, "sampling_rate": 32, "channels": NAMES}
    medcl.pretrain(found, samples={"eeg": samples}, output=folder)
    return runs.load(folder)


def top_1(run: runs.Run[Any, Any]) -> float:
    """How often the stimulus of a new window is found among 32, by the similarity that was trained."""
    x, _ = recordings(1)
    joint = run.encoder
    with torch.no_grad():
        a, b = (
            joint.heads[side](joint.side(side)(own)).flatten(1)
            for side, own in (("eeg", x[:, :3]), ("stimulus", x[:, 3:]))
        )
    scores = (a @ F.normalize(b, dim=1).T).reshape(len(x) // 32, 32, len(x) // 32, 32)
    return float(
        np.mean([(scores[n, :, n].argmax(dim=1) == torch.arange(32)).float().mean() for n in range(len(scores))])
    )


@pytest.mark.acceptance
def test_what_was_heard_is_found_by_each_encoder_of_its_own_channels(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    cards = run.card.sides
    assert list(cards["eeg"].channels) == NAMES[:3]
    assert list(cards["stimulus"].channels) == NAMES[3:]
    assert top_1(run) > 0.5
    # A stimulus of other moments teaches nothing: 1 of 32 is found.
    assert top_1(trained(tmp_path / "apart", apart=True)) < 0.1


def test_channels_that_there_are_not_are_refused(tmp_path: Path) -> None:
    found = shipped.content("brain_decoding")
    found["inputs"]["stimulus"]["channels"] = ["enveloppe"]
    x, subject = recordings(0)
    samples = {"x": x, "ids": {"patient": subject, "trial": subject}, "sampling_rate": 32, "channels": NAMES}
    with pytest.raises(UsageError, match="inputs.stimulus.channels: 'enveloppe' is none of .*did you mean 'envelope'"):
        medcl.pretrain(found, samples={"eeg": samples}, output=tmp_path / "run")
    alone = {"inputs": {"eeg": {"modality": "signal", "channels": ["Fz"]}}, "objectives": {"one": {"of": "eeg"}}}
    with pytest.raises(UsageError, match="otherwise set inputs.eeg.data.channels"):
        read(alone)


def test_windows_tell_when_they_begin(ecg_manifest: Any, tmp_path: Path) -> None:
    from medcl.data.prepare import prepare
    from medcl.modality.signal.config import SignalConfig

    config = SignalConfig(window=2.0, stride=1.0)
    windows = SignalWindows(prepare(ecg_manifest, config, tmp_path, jobs=1), ecg_manifest, config)
    own = windows.samples_of(int(windows.rows[0]))
    assert windows.__getitems__(own.tolist())["position"].tolist() == list(range(len(own)))
