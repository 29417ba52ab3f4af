"""`medcl reduce`, as a user calls it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.phantom.volumes import write_volumes

from ..reduce.volumes import archive


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of phantom CTs, as DICOM, with what is damaged among them."""
    folder = tmp_path_factory.mktemp("phantom")
    write_volumes(folder, ct_patients=3, mr_patients=0)
    output = folder / "ct.parquet"
    assert main(["scan", str(folder / "ct"), "--card", str(folder / "ct.yaml"), "-o", str(output), "--jobs", "1"]) == 0
    return output


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def test_reduce_keeps_fewer_slices_and_says_how_many(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = manifest.with_name("reduced.parquet")
    words = ["reduce", str(manifest), "--by", "hash", "--threshold", "6", "-o", str(output), "--split", "all"]
    assert main([*words, "--jobs", "2"]) == 0
    told = capsys.readouterr().out
    assert "slices within each volume, by hash, distance 6" in told
    before, after = Manifest.read(manifest), Manifest.read(output)
    assert len(after) == len(before), "every volume keeps its first slice"
    dropped = pq.read_table(output.with_name("reduced.dropped.parquet"))
    slices = sum(shape[2] for shape in before.ok().column("shape"))
    kept = sum(
        len(k) if k is not None else s[2] for k, s in zip(after.ok().kept, after.ok().column("shape"), strict=True)
    )
    assert kept + len(dropped) == slices
    assert kept < slices
    assert set(dropped["duplicate_of"].to_pylist()) <= set(before.column("record_id").tolist())


def test_a_scan_on_a_cluster_finds_the_same(manifest: Path, cluster: Any) -> None:
    folder, output = manifest.parent, manifest.with_name("scanned.parquet")
    words = ["scan", str(folder / "ct"), "--card", str(folder / "ct.yaml"), "-o", str(output)]
    assert main([*words, "--cluster", cluster.scheduler_address]) == 0
    assert Manifest.read(output).table.equals(Manifest.read(manifest).table)


@pytest.mark.parametrize("by", [["average-hash"], ["embedding", "--encoder", "random"]], ids=["hash", "embedding"])
def test_a_cluster_gives_the_same(manifest: Path, cluster: Any, by: list[str]) -> None:
    here, there = manifest.with_name("here.parquet"), manifest.with_name("there.parquet")
    assert main(["reduce", str(manifest), "--by", *by, "-o", str(here), "--jobs", "1"]) == 0
    copy = manifest.with_name(f"copy_{by[0]}.parquet")
    copy.write_bytes(manifest.read_bytes())
    words = ["reduce", str(copy), "--by", *by, "-o", str(there), "--cluster", cluster.scheduler_address]
    assert main(words) == 0
    assert Manifest.read(here).table.equals(Manifest.read(there).table)


def test_a_report_looks_and_cuts_nothing(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = manifest.with_name("reduce.html")
    assert main(["reduce", str(manifest), "--report", str(page), "--by", "hash", "--by", "every-n"]) == 0
    assert "every-n" in capsys.readouterr().out
    assert "<html" in page.read_text()


def test_leaks_end_with_an_error_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = archive(tmp_path, [[1, 2, 3], [4, 5, 6], [1, 2, 3]], patients=1)
    path = tmp_path / "m.parquet"
    made.write(path)
    words = ["reduce", str(path), "--leaks", "--threshold", "0", "--jobs", "1"]
    assert main(words) == 0
    assert main([*words, "--fail-on-leak"]) == 1
    told = capsys.readouterr()
    assert "r0 and r2: other patients" in told.out
    assert "1 near-duplicates cross patients or splits" in told.err
    made.with_column("patient", pa.array([0, 0, 0], pa.int64())).write(path)
    assert main([*words, "--fail-on-leak"]) == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-o", "r.parquet", "--by", "magic"], "strategy magic"),
        (["-o", "r.parquet", "--threshold", "65"], "threshold 65"),
        (["-o", "r.parquet", "--threshold", "wide"], "--threshold wide"),
        (["-o", "r.parquet", "--keep", "0%"], "--keep 0%"),
        (["-o", "r.parquet", "--keep", "some"], "--keep some"),
        (["-o", "r.parquet", "--by", "hash", "--by", "ssim"], "several strategies"),
        (["-o", "ct.parquet"], "would replace the manifest"),
        ([], "say what to do"),
        (["--fail-on-leak", "-o", "r.parquet"], "is about --leaks"),
        (["-o", "r.parquet", "--cluster", "nonsense://x", "--by", "perceptual-hash"], "no address of a scheduler"),
    ],
)
def test_calls_that_cannot_be_meant(
    manifest: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manifest.parent)
    assert main(["reduce", "ct.parquet", *words]) == 2
    assert reason in capsys.readouterr().err
    assert not Path("r.parquet").exists()
