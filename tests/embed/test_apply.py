"""Embedding an archive: one file of any modality, the same however it was computed, resumed without a gap."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.embed import pooling
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.encoders import prepare, sides_of
from medcl.errors import MedclError, UsageError
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.volume.config import VolumeConfig
from tests.data import linked_archive, volume_archive, wfdb_archive
from tests.embed import archives

ONE = EmbedConfig(jobs=1)
UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from medcl import parquet
from medcl.archive.manifest import Manifest
from medcl.embed import pooling
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig

seal, written = parquet.seal, []

def until_killed(path):
    # The third shard is on the disk, and has not got its name yet.
    seal(path)
    written.append(True)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

pooling._PIECES, parquet.seal = 6, until_killed
run, manifest, store, output = map(Path, sys.argv[1:])
embed_manifest(run, Manifest.read(manifest), EmbedConfig(jobs=1), store, output)
"""


@pytest.fixture(scope="module")
def ecg(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Recordings of 6 and 7 s, two a patient."""
    return wfdb_archive.archive(tmp_path_factory.mktemp("ecg") / "ecg", patients=5)


@pytest.fixture(scope="module")
def run(ecg: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archives.save(tmp_path_factory.mktemp("runs") / "ecg", archives.signals(ecg))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def vectors(run: Path, manifest: Manifest, config: EmbedConfig, store: Path, path: Path) -> np.ndarray:
    embed_manifest(run, manifest, config, store, path)
    return np.asarray(EmbeddingsFile.read(path).vectors())


def test_windows_records_and_patients_are_means_of_one_another(
    run: Path, ecg: Manifest, store: Path, tmp_path: Path
) -> None:
    levels: dict[str, EmbeddingsFile] = {}
    for level in ("window", "record", "patient"):
        config = EmbedConfig(level=level, jobs=1)  # type: ignore[arg-type]
        embed_manifest(run, ecg, config, store, tmp_path / f"{level}.parquet")
        levels[level] = EmbeddingsFile.read(tmp_path / f"{level}.parquet")
    windows, records, patients = (np.asarray(one.vectors()) for one in levels.values())
    # The encoder itself, on the same windows.
    (side,) = sides_of(run)
    pieces = prepare(side, ecg, ecg, store, 1).pieces
    with torch.inference_mode():
        own = side.network.embed(pieces.__getitems__(range(len(pieces.rows)))["x"]).numpy()
    np.testing.assert_allclose(windows, own, atol=1e-6)
    np.testing.assert_array_equal(levels["window"].column("record_id"), ecg.column("record_id")[pieces.rows])
    assert [one[0] for one in levels["window"].column("start")[:4]] == [0, 2, 4, 0]
    np.testing.assert_array_equal(levels["record"].column("record_id"), ecg.column("record_id"))
    assert levels["record"].column("pieces").tolist() == np.bincount(pieces.rows).tolist()
    means = np.stack([own[pieces.rows == row].mean(axis=0) for row in range(len(ecg))])
    np.testing.assert_allclose(records, means, atol=1e-6)
    codes = ecg.column("patient")
    np.testing.assert_array_equal(levels["patient"].column("patient"), list(dict.fromkeys(codes)))
    of_patients = np.stack([means[codes == code].mean(axis=0) for code in dict.fromkeys(codes)])
    np.testing.assert_allclose(patients, of_patients, atol=1e-6)
    # What the records of a patient share stays; what they do not is null.
    assert set(levels["patient"].column("modality")) == {"ecg"}
    assert set(levels["patient"].column("record_id")) == {None}
    assert set(levels["patient"].column("records")) == {2}


@pytest.mark.parametrize("changed", [{"batch": 1}, {"batch": 7}, {"jobs": 2}])
def test_batches_and_processes_change_no_vector(
    run: Path, ecg: Manifest, store: Path, tmp_path: Path, changed: dict[str, int]
) -> None:
    usual = vectors(run, ecg, ONE, store, tmp_path / "usual.parquet")
    other = vectors(run, ecg, replace(ONE, **changed), tmp_path / "store", tmp_path / "other.parquet")
    np.testing.assert_allclose(usual, other, atol=1e-5)


def test_a_killed_run_goes_on_without_a_duplicate_or_a_gap(
    run: Path, ecg: Manifest, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "_PIECES", 6)
    whole = vectors(run, ecg, ONE, store, tmp_path / "whole.parquet")
    path = tmp_path / "killed.parquet"
    ecg.write(tmp_path / "ecg.parquet")
    words = [str(one) for one in (run, tmp_path / "ecg.parquet", store, path)]
    child = subprocess.run([sys.executable, "-c", UNTIL_KILLED, *words], check=False)
    assert child.returncode == -signal.SIGKILL
    assert not path.exists()
    with pytest.raises(UsageError, match=r"unfinished embeddings of another level.*delete"):
        embed_manifest(run, ecg, replace(ONE, level="window"), store, path)
    done = embed_manifest(run, ecg, ONE, store, path)
    assert done.taken_over == 2
    found = EmbeddingsFile.read(path)
    assert found.column("record_id").tolist() == ecg.column("record_id").tolist()
    np.testing.assert_allclose(found.vectors(), whole, atol=1e-5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ecg.parquet", "killed.parquet", "whole.parquet"]
    assert embed_manifest(run, ecg, ONE, store, path).already


def test_embeddings_of_another_run_or_archive_are_never_mixed(
    run: Path, ecg: Manifest, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "e.parquet"
    embed_manifest(run, ecg, ONE, store, path)
    other = archives.save(tmp_path / "other", archives.signals(ecg), seed=1)
    with pytest.raises(UsageError, match="another run"):
        embed_manifest(other, ecg, ONE, store, path)
    with pytest.raises(UsageError, match="another manifest"):
        embed_manifest(run, ecg.select([0, 1]), ONE, store, path)


def test_slices_of_volumes_and_whole_ones(tmp_path: Path) -> None:
    manifest = volume_archive.archive(tmp_path / "mr", count=3, shape=(20, 24, 16))
    flat = archives.save(tmp_path / "flat", archives.volumes(VolumeConfig(size=(20, 24, 1))))
    embed_manifest(flat, manifest, EmbedConfig(level="window", jobs=1), tmp_path / "s", tmp_path / "w.parquet")
    slices = EmbeddingsFile.read(tmp_path / "w.parquet")
    assert len(slices) == 3 * 16
    assert [start[2] for start in slices.column("start")[:16]] == list(range(16))
    kept = manifest.with_kept([[1, 5], None, [0]], 2)
    embed_manifest(flat, kept, EmbedConfig(level="window", jobs=1), tmp_path / "s", tmp_path / "k.parquet")
    reduced = EmbeddingsFile.read(tmp_path / "k.parquet")
    np.testing.assert_allclose(reduced.vectors(), slices.vectors()[[1, 5, *range(16, 32), 32]], atol=1e-5)
    network = ImageEncoderConfig("unet", dims=3, widths=(2, 4), dim=4, norm="group")
    solid = archives.save(tmp_path / "solid", archives.volumes(VolumeConfig(size=(16, 16, 8)), network))
    done = embed_manifest(solid, manifest, ONE, tmp_path / "s", tmp_path / "r.parquet")
    assert (done.rows, done.dim) == (3, 4)


def test_all_sides_of_a_joint_run_lie_in_one_space(tmp_path: Path) -> None:
    manifest = linked_archive.pictures_with_reports(tmp_path / "a", patients=4)
    run = archives.save(tmp_path / "run", archives.joint(manifest))
    done = embed_manifest(run, manifest, ONE, tmp_path / "s", tmp_path / "e.parquet")
    found = EmbeddingsFile.read(done.path)
    assert (len(found), found.dim, found.about.joint) == (16, 8, True)
    assert found.column("kind").tolist() == ["image"] * 8 + ["report"] * 8
    np.testing.assert_allclose(np.linalg.norm(found.vectors(), axis=1), 1, atol=1e-5)
    half = EmbedConfig(kind="report", half=True, jobs=1)
    texts = vectors(run, manifest, half, tmp_path / "s", tmp_path / "h.parquet")
    assert texts.dtype == np.float16
    np.testing.assert_allclose(texts, found.vectors()[8:], atol=1e-3)


def test_what_cannot_be_decoded_is_left_out_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = linked_archive.pictures_with_reports(tmp_path / "a", patients=3)
    run = archives.save(tmp_path / "run", archives.pictures())
    (tmp_path / "a" / "2.png").write_bytes(b"no picture")
    manifest.write(tmp_path / "m.parquet")
    words = ["embed", str(run), "--manifest", str(tmp_path / "m.parquet"), "-o", str(tmp_path / "e.parquet")]
    assert main([*words, "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "quarantined: 1 of" in out
    assert "image-2" in out
    assert "5 embeddings of width 4" in out
    found = EmbeddingsFile.read(tmp_path / "e.parquet")
    assert "image-2" not in found.column("record_id").tolist()
    assert found.about.left_out.keys() == {"image-2"}
    assert main([*words, "--jobs", "1"]) == 0
    assert "was there already" in capsys.readouterr().out


def test_bad_input_is_named(run: Path, ecg: Manifest, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.parquet"
    broken = archives.save(tmp_path / "broken", archives.signals(ecg), broken=True)
    with pytest.raises(MedclError, match=f"record {ecg.column('record_id')[0]}: its embedding is not a number"):
        embed_manifest(broken, ecg, ONE, store, out)
    pictures = linked_archive.pictures_with_reports(tmp_path / "a", patients=2)
    with pytest.raises(UsageError, match="embeds recordings; the manifest holds images, reports"):
        embed_manifest(run, pictures, ONE, store, tmp_path / "other.parquet")
    with pytest.raises(UsageError, match="batch 0"):
        embed_manifest(run, ecg, replace(ONE, batch=0), store, tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="split 'nowhere'"):
        embed_manifest(run, ecg, replace(ONE, split="nowhere"), store, tmp_path / "s.parquet")
    taken = ecg.with_column("embedding", pa.array([0] * len(ecg)))
    with pytest.raises(UsageError, match="column 'embedding'"):
        embed_manifest(run, taken, ONE, store, tmp_path / "c.parquet")
    gone = wfdb_archive.archive(tmp_path / "gone", patients=1)
    for path in (tmp_path / "gone").rglob("*.dat"):
        path.unlink()
    with pytest.raises(MedclError, match="none of 2 recordings"):
        embed_manifest(run, gone, ONE, tmp_path / "gone.store", tmp_path / "g.parquet")
