"""A record in memory is cut into the samples that its store would give."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality import wing
from medcl.modality.image.config import ImageConfig
from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.signal.config import SignalConfig
from medcl.modality.volume.config import VolumeConfig
from tests.evaluate import segment_archive


@pytest.mark.parametrize(
    ("standardise", "align", "stride"),
    [
        ("record", "none", 2.0),
        ("window", "none", 0.5),
        ("none", "none", 2.0),
        ("robust", "none", 2.0),
        ("none", "recording", 2.0),
    ],
)
def test_windows_of_a_recording(
    ecg_manifest: Manifest, tmp_path: Path, standardise: Any, align: Any, stride: float
) -> None:
    config = SignalConfig(
        sampling_rate=100.0,
        channels=["I", "V5"],
        window=2.0,
        stride=stride,
        standardise=standardise,
        align=align,
    )
    store = prepare(ecg_manifest, config, tmp_path, jobs=1)
    samples = wing("signal").samples(store, ecg_manifest, config)
    row = int(samples.rows[0])
    record = list(store.record_ids).index(ecg_manifest.column("record_id")[row])
    whole = store.read(record)
    expected = samples.__getitems__(samples.samples_of(row).tolist())["x"]
    torch.testing.assert_close(wing("signal").pieces(whole, config), expected, rtol=1e-4, atol=1e-5)
    whole[0] = 3.0
    if (standardise, align) != ("none", "none"):
        assert not wing("signal").pieces(whole, config)[:, 0].any(), "a flat channel is 0"
    whole[0, 10] = np.nan
    assert len(wing("signal").pieces(whole, config)) == len(expected) - 1


@pytest.mark.parametrize("size", [(16, 16, 1), (8, 8, 4), (32, 20, 16)])
def test_tiles_of_a_volume(tmp_path: Path, size: tuple[int, int, int]) -> None:
    manifest = segment_archive.write_heads(tmp_path, patients=4, fractions=(2, 1, 1))
    config = VolumeConfig(size=size)
    store = prepare(manifest, config, tmp_path / "store", jobs=1)
    samples = wing("volume").samples(store, manifest, config)
    expected = samples.__getitems__(samples.samples_of(1).tolist())["x"]
    found = wing("volume").pieces(samples.patches.volume(1).numpy(), config)
    torch.testing.assert_close(found, expected)


def test_an_image_and_a_report(tmp_path: Path) -> None:
    image = ImageConfig(size=(8, 8))
    x = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    assert wing("image").pieces(x, image).shape == (1, 1, 8, 8)
    with pytest.raises(UsageError, match=r"expected an image \(1, 8, 8\)"):
        wing("image").pieces(x[:, :4], image)
    tokenizer = Tokenizer.train(["no finding of the heart", "a finding of the lung"], 300)
    report = TokenisedConfig.of(TextConfig(**{**asdict(TextConfig()), "draw": "whole"}), tokenizer, "f")
    ids = wing("report").pieces("No finding of the lung.", report)
    assert ids.shape[0] == 1
    np.testing.assert_array_equal(ids, tokenizer(["No finding of the lung."], report.length))
    with pytest.raises(UsageError, match="empty report"):
        wing("report").pieces(" ", report)


def test_tables_in_memory_are_refused() -> None:
    with pytest.raises(UsageError, match="give a manifest"):
        wing("table").pieces(np.zeros((1, 3)), None)
