"""The commands and the Python of docs/arrays.md, as they stand, on a phantom archive."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import medcl
from medcl.archive.manifest import Manifest
from medcl.cli import main
from tests.embed import archives
from tests.embed.test_objects import EEG, MR
from tests.evaluate import signal_run

PAGE = (Path(__file__).parents[2] / "docs" / "arrays.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ecg_manifest: Manifest) -> None:
    monkeypatch.chdir(tmp_path)
    medcl.phantom("archive", 2, 2, mr_patients=1, xray_patients=1)
    run = signal_run.write_run(tmp_path / "runs" / "ecg", ecg_manifest)
    for name, card in (("eeg", EEG), ("mr", MR), ("xray", archives.pictures())):
        archives.save(tmp_path / "runs" / name, card)
    ecg_manifest.write("m.parquet")
    few = shlex.split("--labels 100% --protocols probe --repeats 1 --bootstrap 10 --jobs 1 --baselines none -o out")
    assert main(["finetune", str(run), "--manifest", "m.parquet", "--target", "sex", *few]) == 0
    shutil.copytree(next(Path("out/models").glob("pretrained*")), "model")
    found: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(text, found)  # noqa: S102
        else:
            assert main(shlex.split(text)[1:]) == 0
    np.testing.assert_allclose(found["both"], [found["z"]] * 2, atol=1e-6)
    assert (found["eeg"].shape, found["mr"].shape, found["png"].shape) == ((8,), (4,), (4,))
    assert found["windows"].shape[1] == 16
    assert found["probabilities"].shape == (1,)
    rows = pq.read_table("new.parquet").to_pydict()
    np.testing.assert_allclose(rows["embedding"][0], found["z"], atol=1e-6)
    assert rows["input"][-1] == 1
    assert {"probability_F", "input"} <= set(pq.read_schema("predictions.parquet").names)
