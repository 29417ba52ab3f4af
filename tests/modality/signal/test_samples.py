"""Windows: where they lie, how they are scaled, which are left out, and that workers change nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from medcl.data.loader import loader
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler
from medcl.errors import MedclError, UsageError
from medcl.modality import wing
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig
from medcl.modality.signal.filters import CLIPPED, FLAT
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.spec import from_json, to_json
from tests.data.wfdb_archive import archive, noise, scanned, write_record

CONFIG = SignalConfig(window=1.0, stride=0.5, standardise="none")


def test_windows_lie_on_the_stride_and_carry_their_ids(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=2, trials=2)
    windows = SignalWindows(prepare(manifest, CONFIG, tmp_path / "s", jobs=1), manifest, CONFIG)
    assert len(windows) == 2 * (11 + 13)
    batch = windows.__getitems__([0, 3, 30])
    assert batch["x"].shape == (3, 3, 100)
    assert batch["x"].dtype == torch.float32
    assert batch["index"].dtype == torch.int64
    assert set(batch["ids"]) == {"patient", "trial", "sample"}
    assert all(ids.dtype == torch.int64 for ids in batch["ids"].values())
    np.testing.assert_array_equal(batch["ids"]["patient"], manifest.column("patient")[batch["index"].numpy()])
    assert len(np.unique(windows.ids["sample"])) == len(windows)
    np.testing.assert_allclose(batch["x"][1], windows.store.read(0, 150, 100), atol=1e-5)
    assert windows.samples_of(1).tolist() == list(range(11, 24))


def test_a_sample_keeps_its_id_when_other_records_leave(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a")
    store = prepare(manifest, CONFIG, tmp_path / "s", jobs=1)
    everything = SignalWindows(store, manifest, CONFIG)
    rows = np.array([0, 1, 2])
    some = SignalWindows(store, manifest.select(rows), CONFIG)
    assert some.ids["sample"].tolist() == everything.ids["sample"][np.isin(everything.rows, rows)].tolist()


def test_standardising_by_record_and_by_window(tmp_path: Path) -> None:
    signal = noise(6) * 3 + 5
    signal[:, 2] = 0.3
    write_record(tmp_path / "a", "p0", "r", signal)
    manifest = scanned(tmp_path / "a")
    store = prepare(manifest, CONFIG, tmp_path / "s", jobs=1)
    by_record = SignalWindows(store, manifest, replace(CONFIG, stride=1.0, standardise="record"))
    whole = torch.cat([by_record[i]["x"] for i in range(6)], dim=0)
    assert torch.allclose(whole[:, :2].mean(dim=(0, 2)), torch.zeros(2), atol=1e-4)
    assert torch.allclose(whole[:, :2].transpose(0, 1).flatten(1).std(dim=1, correction=0), torch.ones(2), atol=1e-4)
    assert (whole[:, 2] == 0).all()
    by_window = SignalWindows(store, manifest, replace(CONFIG, standardise="window"))[4]["x"]
    assert torch.allclose(by_window[0, :2].std(dim=1, correction=0), torch.ones(2), atol=1e-4)
    assert (by_window[0, 2] == 0).all(), "a flat channel becomes zeros, not NaN and not noise"


def test_robust_scaling_is_not_changed_by_an_artefact_and_clips_it(tmp_path: Path) -> None:
    signal = noise(8)
    spoilt = signal.copy()
    spoilt[100:120] = 30.0
    for patient, one in (("p0", signal), ("p1", spoilt)):
        write_record(tmp_path / "a", patient, "r", one)
    manifest = scanned(tmp_path / "a")
    config = SignalConfig(window=2.0, stride=2.0, standardise="robust", clip=20.0)
    windows = SignalWindows(prepare(manifest, config, tmp_path / "s", jobs=1), manifest, config)
    clean, touched = (windows.read(np.flatnonzero(windows.rows == row)).numpy() for row in (0, 1))
    low, high = np.percentile(clean.swapaxes(0, 1).reshape(3, -1), [25, 75], axis=1)
    np.testing.assert_allclose(high - low, 1.349, rtol=1e-4)
    assert touched.max() == 20.0
    np.testing.assert_allclose(touched[1:], clean[1:], atol=0.25)


def test_gaps_leave_and_flat_and_clipped_stretches_are_flagged(tmp_path: Path) -> None:
    signal = noise(10)
    signal[250:260, 0] = np.nan
    signal[500:600, 1] = 0.1
    signal[820:840, 2] = 2.5
    write_record(tmp_path / "a", "p0", "r", signal)
    manifest = scanned(tmp_path / "a")
    windows = SignalWindows(prepare(manifest, CONFIG, tmp_path / "s", jobs=1), manifest, replace(CONFIG, stride=1.0))
    assert windows.with_gaps == 1
    assert windows.starts.tolist() == [0, 100, 300, 400, 500, 600, 700, 800, 900]
    assert windows.flags.tolist() == [0, 0, 0, 0, FLAT, 0, 0, CLIPPED, 0]
    assert all(torch.isfinite(windows[i]["x"]).all() for i in range(len(windows)))


@pytest.mark.parametrize("standardise", ["record", "window"])
def test_a_flat_stretch_stays_flat_behind_a_filter(tmp_path: Path, standardise: Literal["record", "window"]) -> None:
    signal = noise(30)
    signal[1000:2500, 1] = 0.3
    signal[:, 2] = 0.3
    write_record(tmp_path / "a", "p0", "r", signal)
    manifest = scanned(tmp_path / "a")
    config = SignalConfig(window=1.0, stride=1.0, band=[2.0, 30.0], standardise=standardise)
    windows = SignalWindows(prepare(manifest, config, tmp_path / "s", jobs=1), manifest, config)
    x = windows.__getitems__([17])["x"][0]
    assert x[0].std() > 0.5
    assert x[1:].std(dim=1).max() < 1e-5
    assert x[2].abs().max() < 1e-5


def test_a_large_offset_does_not_cost_precision(tmp_path: Path) -> None:
    signal = noise(6)
    write_record(tmp_path / "a", "p0", "small", signal)
    write_record(tmp_path / "a", "p1", "large", signal + 6000, fmt="24")
    manifest = scanned(tmp_path / "a")
    config = replace(CONFIG, standardise="record")
    windows = SignalWindows(prepare(manifest, config, tmp_path / "s", jobs=1), manifest, config)
    large, small = (windows.__getitems__([int(windows.samples_of(row)[3])])["x"] for row in (0, 1))
    assert torch.allclose(small, large, atol=1e-5)


def test_recordings_shorter_than_a_window_are_counted_not_padded(tmp_path: Path) -> None:
    write_record(tmp_path / "a", "p0", "long", noise(6))
    write_record(tmp_path / "a", "p1", "short", noise(0.5))
    manifest = scanned(tmp_path / "a")
    windows = SignalWindows(prepare(manifest, CONFIG, tmp_path / "s", jobs=1), manifest, CONFIG)
    assert windows.too_short == 1
    assert set(windows.rows.tolist()) == {0}


def test_a_store_of_other_records_is_refused(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=1)
    write_record(tmp_path / "b", "q", "other", noise(6))
    store = prepare(manifest, CONFIG, tmp_path / "s", jobs=1)
    with pytest.raises(MedclError, match="lacks 1 of 1"):
        SignalWindows(store, scanned(tmp_path / "b"), CONFIG)


def test_two_workers_and_none_give_the_same_batches(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=6)
    windows = SignalWindows(prepare(manifest, CONFIG, tmp_path / "s", jobs=1), manifest, CONFIG)
    sampler = Sampler(windows.ids["patient"], windows.ids["trial"], patients=2, records=2, samples=2)
    here, there = (list(loader(windows, sampler, 2, 9, workers)) for workers in (0, 2))
    assert len(here) == len(there) == 7
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a["x"], b["x"])
        assert torch.equal(a["index"], b["index"])
        assert all(torch.equal(a["ids"][level], b["ids"][level]) for level in a["ids"])


def test_processes_share_the_batches_of_an_epoch(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=6)
    windows = SignalWindows(prepare(manifest, CONFIG, tmp_path / "s", jobs=1), manifest, CONFIG)
    sampler = Sampler(windows.ids["patient"], windows.ids["trial"], patients=2, records=2, samples=2)
    alone = [batch["index"].tolist() for batch in loader(windows, sampler, 0, 6)]
    ranks = [
        [batch["index"].tolist() for batch in loader(windows, sampler, 0, 6, rank=rank, world=2)] for rank in (0, 1)
    ]
    assert [first + second for first, second in zip(*ranks, strict=True)] == alone


def test_windows_of_a_trained_encoder_overlap_as_the_recipe_says(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", patients=1, trials=1)
    own, config = wing("signal"), replace(CONFIG, overlap=0.75)
    store = prepare(manifest, config, tmp_path / "s", jobs=1)
    card = own.spec_of(SignalEncoderConfig(), config, store, "ecg")
    again = from_json(to_json(card))
    windows = SignalWindows(store, manifest, own.data_of(again))
    assert windows.starts.tolist() == list(range(0, 501, 25))
    beside = SignalWindows(store, manifest, own.data_of(replace(card, overlap=0.0)))
    assert beside.starts.tolist() == [0, 100, 200, 300, 400, 500]
    with pytest.raises(UsageError, match="overlap lies from 0 to below 1"):
        own.check(replace(CONFIG, overlap=1.0), SignalEncoderConfig())
