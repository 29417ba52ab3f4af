"""Hospitals of a synthetic archive: recorders that leave a trace, or none."""

import csv
from pathlib import Path

import numpy as np
import pytest
import wfdb

from medcl.phantom.archive import write_ecg
from medcl.phantom.site import SITES, Site, record

RATE = 100.0


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.name != "labels.csv"}


def test_sites_without_effect_give_the_archive_without_sites(tmp_path: Path) -> None:
    for name, sites in (("plain", ()), ("sites", tuple(Site(one.name) for one in SITES)), ("effect", SITES)):
        write_ecg(tmp_path / name, 6, sites=sites, duration=2.0)
    assert contents(tmp_path / "plain") == contents(tmp_path / "sites")
    assert contents(tmp_path / "plain") != contents(tmp_path / "effect")
    tables = [list(csv.DictReader((tmp_path / name / "labels.csv").open())) for name in ("sites", "effect")]
    assert tables[0] == tables[1]
    of = {row["patient"]: row["site"] for row in tables[0]}
    assert all(row["site"] == of[row["patient"]] for row in tables[0])
    assert {*of.values()} <= {site.name for site in SITES}
    assert wfdb.rdrecord(str(tmp_path / "effect" / tables[1][0]["record"])).sig_len == 200


@pytest.mark.parametrize(
    ("site", "grows"),
    [(Site("a", noise=0.1), (30, 49)), (Site("b", hum=0.2, line_frequency=40.0), (39, 41))],
)
def test_a_recorder_adds_its_band(site: Site, grows: tuple[float, float]) -> None:
    signal = np.sin(2 * np.pi * 5 * np.arange(1000) / RATE)[None].astype(np.float32)
    assert band(record(signal, RATE, site, np.random.default_rng(0)), *grows) > 10 * band(signal, *grows) + 1


def test_a_recorder_filters_and_scales() -> None:
    time = np.arange(1000) / RATE
    signal = (np.sin(2 * np.pi * 5 * time) + np.sin(2 * np.pi * 40 * time))[None].astype(np.float32)
    out = record(signal, RATE, Site("a", gain=2.0, highest=15.0), np.random.default_rng(0))
    assert band(out, 39, 41) < 0.1 * band(signal, 39, 41)
    assert band(out, 4, 6) > 1.5 * band(signal, 4, 6)
    assert out.dtype == np.float32
    assert np.array_equal(record(signal, RATE, Site("b"), np.random.default_rng(0)), signal)


def band(signal: np.ndarray, low: float, high: float) -> float:
    frequency = np.fft.rfftfreq(signal.shape[1], 1 / RATE)
    return float(np.abs(np.fft.rfft(signal[0]))[(frequency >= low) & (frequency <= high)].sum())
