"""Attention over the positions of electrodes: what matters is where a channel lies, not its place in the list."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig
from medcl.modality.signal.encoders import build
from medcl.modality.signal.encoders.spatial import DROPPED, SpatialAttention, code, unit_square
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.spec import SignalCard, from_json, to_json
from tests.modality.signal.test_bad_channels import CHANNELS, RATE, smooth, written
from tests.modality.signal.test_encoders import SMALL

ENCODER = SignalEncoderConfig("resnet", dim=8, hidden=8, depth=2, stride=4, spatial=6)


def test_the_code_of_a_position_is_that_of_the_paper() -> None:
    x, y = 0.3, 0.8
    angles = [2 * np.pi / 1.4 * (a * (x + 0.2) + b * (y + 0.2)) for a in range(32) for b in range(32)]
    expected = np.concatenate([np.cos(angles), np.sin(angles)])
    found = code(torch.tensor([[x, y]], dtype=torch.float64))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-9)


def test_positions_are_those_of_the_head_seen_from_above() -> None:
    front, left, vertex, right, back = unit_square(["Fpz", "T3", "Cz", "T8", "Oz"])
    assert np.abs(vertex - 0.5).max() < 0.03
    assert front[1] > 0.8
    assert back[1] < 0.2
    assert left[0] < 0.2
    assert right[0] > 0.8


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_a_permutation_of_the_channels_gives_the_same_embedding(config: SignalEncoderConfig) -> None:
    torch.manual_seed(0)
    card = SignalCard(replace(config, spatial=5), tuple(CHANNELS), RATE, 1.0, "record")
    order = torch.randperm(len(CHANNELS))
    other = replace(card, channels=tuple(CHANNELS[one] for one in order))
    encoder, again = card.build().eval(), other.build().eval()
    again.load_state_dict(encoder.state_dict())
    x = torch.randn(3, len(CHANNELS), 64)
    torch.testing.assert_close(encoder.embed(x), again.embed(x[:, order]), atol=1e-6, rtol=1e-6)
    assert not torch.allclose(encoder.embed(x), encoder.embed(x[:, order]), atol=1e-3)


def test_a_missing_channel_is_as_another_montage_without_it() -> None:
    torch.manual_seed(0)
    card = SignalCard(ENCODER, tuple(CHANNELS), RATE, 1.0, "record")
    less = replace(card, channels=card.channels[1:])
    encoder, smaller = card.build().eval(), less.build().eval()
    smaller.load_state_dict(encoder.state_dict())
    x = torch.randn(2, len(CHANNELS), 64)
    x[:, 0] = 0
    torch.testing.assert_close(encoder.embed(x), smaller.embed(x[:, 1:]), atol=1e-6, rtol=1e-6)
    assert torch.isfinite(encoder.embed(torch.zeros_like(x))).all()


def test_in_training_neighbours_of_a_point_are_dropped() -> None:
    torch.manual_seed(0)
    attention = SpatialAttention(CHANNELS, 3)
    x = torch.eye(len(CHANNELS)).expand(64, -1, -1)
    used = attention(x)[:, 0] > 0  # of a window, which channels have a weight
    places = unit_square(CHANNELS)
    far = ((places[:, None] - places) ** 2).sum(axis=2) ** 0.5 > 2 * DROPPED
    dropped = ~used.numpy()
    assert 0 < dropped.mean() < 0.5
    # What is dropped together lies together.
    assert not (np.einsum("nc,nd->cd", dropped, dropped).astype(bool) & far).any()
    assert (attention.eval()(x) > 0).all()
    # The only electrode is kept.
    assert (SpatialAttention(["Cz"], 2)(torch.ones(64, 1, 4)) == 1).all()


def test_channels_without_a_position_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"encoder.spatial .* no position is known of envelope, V1: name the others"):
        build(ENCODER, 3, ["C3", "envelope", "V1"])
    with pytest.raises(UsageError, match="spatial=-1"):
        build(replace(ENCODER, spatial=-1), 1, ["C3"])


def test_a_card_without_it_is_read() -> None:
    card = SignalCard(ENCODER, ("C3", "C4"), RATE, 1.0, "record", zero_missing=True)
    assert from_json(to_json(card)) == card
    old = to_json(replace(card, encoder=replace(ENCODER, spatial=0), zero_missing=False))
    before = old.replace(', "spatial": 0', "").replace(', "zero_missing": false', "")
    assert len(before) < len(old) - 30
    assert from_json(before) == from_json(old)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_recordings_that_lack_channels_are_kept_with_zeros(tmp_path: Path) -> None:
    x = smooth()
    manifest = written(tmp_path, {"whole": (CHANNELS, x), "half": (CHANNELS[5::-1], x[5::-1]), "none": (["T8"], x[:1])})
    config = SignalConfig(channels=CHANNELS, sampling_rate=RATE, window=1.0, stride=1.0, zero_missing=True)
    store = prepare(manifest, config, tmp_path / "s", jobs=1)
    assert "has none of the channels" in str(list(store.quarantine.values()))
    assert store.notes["channels missing"] == 1
    windows = SignalWindows(store, manifest, config)
    half = next(row for row, path in enumerate(manifest.column("path")) if str(path).startswith("half"))
    found = windows.read(np.flatnonzero(windows.rows == half))
    assert not found[:, 6:].any()
    scaled = (x[:6] - x[:6].mean(axis=1, keepdims=True)) / x[:6].std(axis=1, keepdims=True)
    np.testing.assert_allclose(found[0, :6], scaled[:, :100], atol=1e-3)
    bipolar = prepare(manifest, replace(config, channels=["C3-Cz", "C3-C4", "F3"]), tmp_path / "s", jobs=1)
    number = list(bipolar.record_ids).index(manifest.column("record_id")[half])
    np.testing.assert_allclose(bipolar.read(number), np.stack([x[4] - x[5], 0 * x[4], x[2]]), atol=1e-4)
    with pytest.raises(UsageError, match=r"data.zero_missing.*leave out"):
        prepare(manifest, replace(config, interpolate=True), tmp_path / "s", jobs=1)
