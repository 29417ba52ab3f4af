"""`medcl embed --input` and `medcl predict --input`: files without a manifest, as the archive has them."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import wfdb

import medcl
from medcl.archive.manifest import Manifest
from medcl.cli import main
from tests.evaluate import signal_run

NAME = "Zebedee_Grosvenor"


@pytest.fixture(scope="module")
def made(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest, a run, a model, and recordings under the name of a patient, one of them damaged."""
    folder = tmp_path_factory.mktemp("inputs")
    ecg_manifest.write(folder / "m.parquet")
    run = signal_run.write_run(folder / "run", ecg_manifest)
    few = ["--labels", "100%", "--protocols", "probe", "--repeats", "1", "--bootstrap", "10", "--jobs", "1"]
    words = ["finetune", run, "--manifest", folder / "m.parquet", "--target", "sex", "--baselines", "none"]
    assert main([str(word) for word in (*words, "-o", folder / "out", *few)]) == 0
    (folder / NAME).mkdir()
    for path in chosen(ecg_manifest).column("path"):
        for suffix in (".hea", ".dat"):
            shutil.copy(ecg_manifest.root / Path(path).with_suffix(suffix), folder / NAME)
    (folder / NAME / f"{NAME}.edf").write_bytes(b"no recording")
    (folder / NAME / f"{NAME}.xyz").write_bytes(b"something else")
    return folder


def chosen(manifest: Manifest) -> Manifest:
    ok = manifest.ok()
    return ok.select(np.arange(len(ok)) < 3)


def named(made: Path, manifest: Manifest) -> list[str]:
    """The last recording first, so that the order of the call is not that of the archive."""
    own = [made / NAME / Path(path).name for path in chosen(manifest).column("path")][::-1]
    return list(map(str, [*own, made / NAME / f"{NAME}.edf", made / NAME / f"{NAME}.xyz"]))


def test_files_have_the_embeddings_of_the_archive_and_no_name(
    made: Path, ecg_manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, output = tmp_path / "archive.parquet", tmp_path / "e.parquet"
    words = ["embed", str(made / "run"), "--jobs", "1"]
    assert main([*words, "--manifest", str(made / "m.parquet"), "-o", str(archive)]) == 0
    capsys.readouterr()
    assert main([*words, "-o", str(output), "--input", *named(made, ecg_manifest)]) == 0
    said = capsys.readouterr().out
    assert "quarantined: 1 of 4 records" in said
    assert "no records: 1 of the inputs (number 4, from 0)" in said
    known = pq.read_table(archive, columns=["record_id", "embedding"]).to_pydict()
    by_id = dict(zip(known["record_id"], known["embedding"], strict=True))
    expected = [by_id[one] for one in chosen(ecg_manifest).column("record_id")][::-1]
    found = pq.read_table(output).to_pydict()
    order = np.argsort(found["input"])
    np.testing.assert_array_equal(np.array(found["input"])[order], [0, 1, 2])
    np.testing.assert_allclose(np.array(found["embedding"])[order], expected, atol=1e-6)
    assert min(found["patient"]) >= 0
    assert len(set(found["record_id"])) == 3
    told = output.read_bytes() + said.encode() + repr(found).encode() + repr(pq.read_schema(output).metadata).encode()
    assert NAME.encode() not in told
    assert str(made).encode() not in told, "nor the folder"
    # The same files have the same ids, also when others come with them.
    again = tmp_path / "again.parquet"
    assert main([*words, "-o", str(again), "--input", named(made, ecg_manifest)[1]]) == 0
    assert pq.read_table(again).to_pydict()["record_id"] == [found["record_id"][order[1]]]


def test_files_have_the_predictions_of_the_archive(made: Path, ecg_manifest: Manifest, tmp_path: Path) -> None:
    (model,) = (made / "out" / "models").iterdir()
    archive = medcl.predict(model, made / "m.parquet", tmp_path / "archive.parquet", jobs=1).value.to_pydict()
    by_id = dict(zip(archive["record_id"], archive["probability_M"], strict=True))
    expected = [by_id[one] for one in chosen(ecg_manifest).column("record_id")][::-1]
    files = named(made, ecg_manifest)
    words = ["predict", str(model), "-o", str(tmp_path / "p.parquet"), "--jobs", "1", "--input", *files]
    assert main(words) == 0
    found = pq.read_table(tmp_path / "p.parquet").to_pydict()
    rows = {number: row for row, number in enumerate(found["input"])}
    np.testing.assert_allclose([found["probability_M"][rows[number]] for number in range(3)], expected, atol=1e-6)
    assert found["status"][rows[3]] != "ok"
    # The same recordings as arrays.
    loaded = medcl.load(model)
    for file, probability in zip(files[:3], expected, strict=True):
        record = wfdb.rdrecord(file.removesuffix(".hea"))
        told = loaded.predict(record.p_signal.T, sampling_rate=record.fs, channels=record.sig_name)
        np.testing.assert_allclose(told, [probability], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give --manifest, or with --input the files"),
        (["--manifest", "m.parquet", "--input", "a.edf"], "both name records"),
        (["--input", "nowhere.edf"], "nowhere.edf: there is no such file"),
    ],
)
def test_a_wrong_call_is_told(
    made: Path, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", str(made / "run"), "-o", str(tmp_path / "e.parquet"), *words]) == 2
    assert told in capsys.readouterr().err
