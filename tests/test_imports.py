"""Nothing is imported that a command does not need: those that compute on no tensor never load torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1"
SCRIPT = """
import json, sys
from medcl.cli import main
for words in json.loads(sys.argv[1]):
    assert main(words) == 0, words
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
TENSORS = {"torch", "monai", "lightning", "lightning_fabric", "transformers", "peft"}
NUMBERS = {"sklearn", "faiss", "openTSNE", "plotly", "h5py", "mne", "soundfile", "tensorboard", "rdata", "distributed"}


def imported(folder: Path, *commands: list[str]) -> set[str]:
    """Packages that are loaded after some commands, run in a process of their own."""
    words = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of values in time for each of two people."""
    folder = tmp_path_factory.mktemp("imports")
    (folder / "icu").mkdir()
    for patient in (1, 2):
        rows = "".join(f"{hour:02d}:00,HR,{80 + hour}\n" for hour in range(1, 5))
        (folder / "icu" / f"{patient}.csv").write_text(f"Time,Parameter,Value\n00:00,RecordID,{patient}\n{rows}")
    return folder


def test_tables_are_scanned_without_what_reads_images_and_signals(folder: Path) -> None:
    found = imported(folder, ["recipes"], ["scan", "icu", "-o", "icu.parquet"], ["split", "icu.parquet"])
    assert not found & (TENSORS | NUMBERS | {"scipy", "nibabel", "wfdb", "blosc2", "rich"})


def test_archives_are_made_scanned_and_reduced_without_tensors(folder: Path) -> None:
    phantom = ["phantom", "archive", "--ecg-patients", "3", "--eeg-subjects", "1", "--mr-patients", "1"]
    found = imported(
        folder,
        [*phantom, "--xray-patients", "1"],
        ["scan", "archive", "--patient-per-record", "-o", "m.parquet"],
        ["scan", "archive/ecg", "--patient-per-record", "-o", "ecg.parquet"],
        ["split", "m.parquet"],
        ["reduce", "ecg.parquet", "--by", "hash", "-o", "reduced.parquet"],
    )
    assert not found & (TENSORS | NUMBERS)


def test_results_are_compared_without_tensors(folder: Path) -> None:
    assert not imported(folder, ["compare", str(FIXTURES / "results" / "signal")]) & (TENSORS | NUMBERS)
