"""What version 0.1 wrote still loads, and gives the same numbers."""

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pyarrow import parquet

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.embed.embeddings import EmbeddingsFile
from medcl.explore.index import EmbeddingIndex
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples
from medcl.modality.report.config import TextConfig
from medcl.modality.report.samples import Reports
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.samples import SignalWindows
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1"
MANIFESTS = {"signals": "ecg", "volumes": "mr", "images": "xray_png"}
RUNS = {"signal": "signals", "volume": "volumes", "image": "images", "joint": "images"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixtures, with the archive where its manifests say, and the times and the salt of the scan."""
    monkeypatch.setenv("MEDCL_SALT", "c5b0a3d1f64e4b7796d2")
    copy = tmp_path / "v0_1"
    shutil.copytree(FIXTURES, copy)
    for name, archive in MANIFESTS.items():
        root = copy / "archive" / archive
        manifest = replace(Manifest.read(copy / f"{name}.parquet"), root=root)
        for row in manifest.table.to_pylist():
            for file in row["files"]:
                os.utime((root / row["path"]).with_name(file), ns=(row["mtime_ns"], row["mtime_ns"]))
            if row.get("mask"):
                os.utime(root / row["mask"], ns=(row["mask_scanned"]["mtime_ns"],) * 2)
        manifest.write(copy / f"{name}.parquet")
    return copy


def test_manifests(folder: Path) -> None:
    signals, volumes, images = (Manifest.read(folder / f"{name}.parquet") for name in MANIFESTS)
    assert [len(one.ok()) for one in (signals, volumes, images)] == [6, 2, 12]
    assert signals.targets["diagnosis"].classes == ("atrial_fibrillation", "normal")
    assert np.isfinite(signals.labels("age")).all()
    assert set(signals.labels("diagnosis").tolist()) == {0, 1}
    assert volumes.masks["mask"].classes[:2] == ("background", "scalp")
    assert len(images.of_kind("report")) == len(images.of_kind("image")) == 6
    assert all(text.startswith("FINDINGS:") for text in images.of_kind("report").column("report"))


def _signals(store: Any, manifest: Manifest) -> Any:
    return SignalWindows(store, manifest, SIGNALS).__getitems__([0, 5, 9, 20])


def _volumes(store: Any, manifest: Manifest) -> Any:
    patches = VolumePatches(store, manifest, VOLUMES, mask="mask")
    return patches.__getitems__([(0, 3, 4, 5), (1, 8, 9, 10), (1, -4, 0, 2)])


def _images(store: Any, manifest: Manifest) -> Any:
    return ImageSamples(store, manifest, IMAGES).__getitems__([5, 0, 3])


SIGNALS = SignalConfig(window=2.0, stride=1.0)
VOLUMES = VolumeConfig(size=(16, 16, 1), percentiles=(1, 99))
IMAGES = ImageConfig(size=(24, 32), fit="pad")
STORES: dict[str, tuple[Any, Callable[[Any, Manifest], Any]]] = {
    "signals": (SIGNALS, _signals),
    "volumes": (VOLUMES, _volumes),
    "images": (IMAGES, _images),
}


@pytest.mark.parametrize("name", STORES)
def test_a_store_gives_the_batches_of_one_of_today(folder: Path, name: str) -> None:
    config, batch = STORES[name]
    manifest = Manifest.read(folder / f"{name}.parquet")
    (old,) = (one.parent for one in folder.glob(f"{name}.store/*/checksums.bin"))
    found = batch(open_store(old), manifest)
    wanted = batch(prepare(manifest, config, folder / "new", jobs=1), manifest)
    assert torch.isfinite(found["x"]).all()
    assert found["x"].std() > 0.01
    assert torch.equal(found["x"], wanted["x"])
    assert torch.equal(found["index"], wanted["index"])
    assert ("y" in found) == (name == "volumes")
    assert "y" not in found or torch.equal(found["y"], wanted["y"])


@pytest.mark.parametrize("draw", ["whole", "section"])
def test_a_store_of_reports(folder: Path, draw: Literal["whole", "section"]) -> None:
    manifest = Manifest.read(folder / "images.parquet")
    stores = [open_store(one.parent, "report") for one in folder.glob("images.store/*/tokens.npy")]
    store = next(one for one in stores if one.settings["draw"] == draw)
    reports = Reports(store, manifest, TextConfig(draw=draw, sections=("FINDINGS",), length=32))
    texts = [reports.text_of(number).removeprefix("FINDINGS:\n") for number in range(len(reports))]
    assert [f"FINDINGS:\n{text}" for text in texts] == list(manifest.of_kind("report").column("report"))
    assert reports.__getitems__(range(6))["x"].shape == (6, 32)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_embeds_as_it_did(folder: Path, name: str) -> None:
    run = runs.load(folder / "runs" / name)
    assert len(run.patients.hashes) == (2 if name == "volume" else 3)
    manifest, new = folder / f"{RUNS[name]}.parquet", folder / "new.parquet"
    assert main(["embed", str(run.folder), "--manifest", str(manifest), "-o", str(new), "--jobs", "1"]) == 0
    wanted, found = parquet.read_table(folder / "embeddings" / f"{name}.parquet"), parquet.read_table(new)
    assert found["record_id"].to_pylist() == wanted["record_id"].to_pylist()
    vectors = [np.array(one["embedding"].to_pylist()) for one in (found, wanted)]
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_the_configuration_of_a_run_repeats_it(folder: Path, name: str) -> None:
    config, manifest = folder / "runs" / name / "config.yaml", folder / f"{RUNS[name]}.parquet"
    words = ["--config", str(config), "--manifest", str(manifest), "-o", str(folder / "again")]
    assert main(["pretrain", *words]) == 0
    found, wanted = (list(csv.DictReader((one / "metrics.csv").open())) for one in (folder / "again", config.parent))
    assert [row["step"] for row in found] == [row["step"] for row in wanted]
    np.testing.assert_allclose(*([float(row["total"]) for row in rows] for rows in (found, wanted)), rtol=1e-3)


def test_an_index_of_embeddings(folder: Path) -> None:
    path = folder / "embeddings" / "signal.parquet"
    saved = path.with_name(f"{path.name}.explore") / "index" / "index.json"
    before = saved.read_bytes()
    index = EmbeddingIndex.open(EmbeddingsFile.read(path))
    assert saved.read_bytes() == before
    assert len(index) == 6
    record = parquet.read_table(path)["record_id"][2].as_py()
    assert index.nearest(index.vector(record), 1)[0].record_id == record


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("signal", "| one | 0.593 ["),
        ("volume", "| one | 0.026 [0.025, 0.027]"),
        ("joint", "| Image to report: own report | one | 0.312 [0.137, 0.478] |"),
    ],
)
def test_results_are_compared(folder: Path, name: str, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = str(folder / "results" / name / "results.json")
    assert main(["compare", results, results, "--names", "one", "other", "--markdown"]) == 0
    assert cell in capsys.readouterr().out
