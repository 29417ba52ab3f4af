"""`medcl predict` as a user calls it: what it writes, what it lists, what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import medcl
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.evaluate.prediction import KEY
from medcl.phantom.archive import write
from tests.evaluate import segment_archive, signal_run


@pytest.fixture(scope="module")
def made(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest and a model of it."""
    folder = tmp_path_factory.mktemp("predicted")
    ecg_manifest.write(folder / "m.parquet")
    run = signal_run.write_run(folder / "run", ecg_manifest)
    few = ["--labels", "100%", "--protocols", "probe", "--repeats", "1", "--bootstrap", "10", "--jobs", "1"]
    words = ["finetune", run, "--manifest", folder / "m.parquet", "--target", "sex", "--baselines", "none"]
    assert main([str(word) for word in (*words, "-o", folder / "out", *few)]) == 0
    return folder


@pytest.fixture(scope="module")
def model(made: Path) -> Path:
    (found,) = (made / "out" / "models").iterdir()
    return found


def told(model: Path, manifest: Path, output: Path, *words: str) -> int:
    return main(["predict", str(model), "--manifest", str(manifest), "-o", str(output), "--jobs", "1", *words])


def test_a_row_a_record_with_probabilities_and_a_decision(
    made: Path, model: Path, ecg_manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p.parquet"
    assert told(model, made / "m.parquet", output) == 0
    said = capsys.readouterr().out
    assert "patients had a part in the model" in said
    broken = int((~ecg_manifest.usable).sum())
    assert 0 < broken < 10
    assert f"quarantined: {broken} of {len(ecg_manifest)} recordings" in said
    table = pq.read_table(output).to_pandas()
    assert list(table["record_id"]) == list(ecg_manifest.column("record_id"))
    ok = table["status"] == "ok"
    assert list(table["status"]) == list(ecg_manifest.column("status"))
    assert table.loc[~ok, ["probability_F", "probability_M", "decision"]].isna().all(axis=None)
    np.testing.assert_allclose(table.loc[ok, "probability_F"] + table.loc[ok, "probability_M"], 1)
    by = medcl.load(model).info.calibrator.thresholds["youden"][0]
    assert list(table.loc[ok, "decision"]) == ["M" if p >= by else "F" for p in table.loc[ok, "probability_M"]]
    about = json.loads(pq.read_schema(output).metadata[KEY])
    assert (about["target"], about["classes"], about["threshold"]) == ("sex", ["F", "M"], "youden")
    assert output.stat().st_mode & 0o077 == 0


def test_the_other_rule_decides_more_carefully(made: Path, model: Path, tmp_path: Path) -> None:
    assert told(model, made / "m.parquet", tmp_path / "p.parquet", "--threshold", "specificity", "--split", "val") == 0
    table = pq.read_table(tmp_path / "p.parquet").to_pandas()
    manifest = Manifest.read(made / "m.parquet")
    negative = manifest.column("sex")[manifest.split_rows("val")] == "F"
    assert (table["decision"][negative] == "F").mean() >= 0.9


def test_a_record_that_cannot_be_decoded_any_more_is_listed_and_the_call_succeeds(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a", ecg_patients=3, eeg_subjects=0, seed=7)
    request = ScanRequest(tmp_path / "a" / "ecg", tmp_path / "m.parquet", id_pattern=r"(?P<patient>P\d+)", jobs=1)
    build_manifest(request)
    manifest = Manifest.read(tmp_path / "m.parquet")
    row = int(np.flatnonzero(manifest.usable)[0])
    (manifest.root / manifest.column("path")[row]).with_suffix(".dat").write_bytes(b"gone")
    assert told(model, tmp_path / "m.parquet", tmp_path / "p.parquet") == 0
    table = pq.read_table(tmp_path / "p.parquet").to_pandas()
    assert table["status"][row] not in ("ok", None)
    assert np.isnan(table["probability_M"][row])
    assert (table["status"] == "ok").sum() == manifest.usable.sum() - 1
    assert str(table["status"][row]) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "holdout"], "no such records; its splits: test, train, val"),
        (["--threshold", "dream"], "dream"),
        (["--by", "study"], "study"),
    ],
)
def test_wrong_words(
    made: Path, model: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(model, made / "m.parquet", tmp_path / "p.parquet", *words) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_predicted_is_refused_with_a_sentence(
    made: Path, model: Path, ecg_manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(manifest: Path, output: str, code: int = 2) -> str:
        assert told(model, manifest, tmp_path / output) == code
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1
        return said

    ecg_manifest.select([]).write(tmp_path / "empty.parquet")
    assert "the manifest has no record" in refused(tmp_path / "empty.parquet", "p.parquet")
    heads = segment_archive.write_heads(tmp_path / "heads")
    heads.write(tmp_path / "heads.parquet")
    assert "predicts recordings (ECG, EEG); the manifest holds volumes" in refused(
        tmp_path / "heads.parquet", "p.parquet"
    )
    (tmp_path / "there.parquet").touch()
    assert "is not overwritten" in refused(made / "m.parquet", "there.parquet")
    assert "are a .parquet file" in refused(made / "m.parquet", "p.csv")
    write(tmp_path / "a", ecg_patients=0, eeg_subjects=2, seed=7)
    request = ScanRequest(tmp_path / "a" / "eeg", tmp_path / "eeg.parquet", patient_per_record=True, jobs=1)
    build_manifest(request)
    assert "none of" in (said := refused(tmp_path / "eeg.parquet", "p.parquet", 1))
    assert "V1" in said
    shutil.copytree(model, tmp_path / "broken")
    (tmp_path / "broken" / "model.json").unlink()
    assert told(tmp_path / "broken", made / "m.parquet", tmp_path / "p.parquet") == 1
    assert "not a model folder" in capsys.readouterr().err


def test_a_row_a_patient(made: Path, model: Path, ecg_manifest: Manifest, tmp_path: Path) -> None:
    assert told(model, made / "m.parquet", tmp_path / "p.parquet", "--by", "patient", "--split", "test") == 0
    table = pq.read_table(tmp_path / "p.parquet")
    test = ecg_manifest.column("patient")[ecg_manifest.split_rows("test")]
    assert table["patient"].to_pylist() == list(dict.fromkeys(test.tolist()))
    assert sum(table["records"].to_pylist()) == len(test)
