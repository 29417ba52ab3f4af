"""The notebooks, executed as a reader would, on synthetic patients; and the copies of them that are kept."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from medcl.archive.manifest import Manifest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 200_000
"""Bytes of a kept copy: they are read in a browser, and stay in the history for good."""
WITHOUT_FIGURES = {"05_parts_in_your_own_loop"}
PLOTLY = "application/vnd.plotly.v1+json"


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook after all of its cells have run in a folder, with the commands of this environment."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(folder)}}
    client.NotebookClient(notebook, timeout=500, kernel_name="python3", resources=resources).execute()
    return notebook


def said(notebook: Any) -> str:
    """What all cells printed; a line may come in several pieces."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join("".join(out.text for out in cell.outputs if out.output_type == "stream") for cell in cells)


def shown(notebook: Any, kind: str) -> int:
    """How many cells show something of this kind."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return sum(kind in out.get("data", {}) for cell in cells for out in cell.outputs)


def test_parts_serve_a_loop_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = said(executed("05_parts_in_your_own_loop", tmp_path, monkeypatch))
    found = re.search(r"^loss (\d+\.\d+) -> (\d+\.\d+)$", told, re.MULTILINE)
    assert found is not None
    assert float(found[2]) < 0.8 * float(found[1])
    assert len(re.findall(r"^loss \d", told, re.MULTILINE)) == 2, "also in Lightning"


def test_embeddings_tell_the_site_that_was_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed("01_explore_ecg_embeddings", tmp_path, monkeypatch)
    there = tmp_path / "demo" / "explore"
    records = Manifest.read(there / "ecg.parquet").ok()
    assert pq.read_metadata(there / "embeddings.parquet").num_rows == len(records)
    assert (there / "explore.html").stat().st_size > 10_000
    told = said(notebook)
    site = re.search(r"^site .*p (\d\.\d+) +(.*)$", told, re.MULTILINE)
    assert site is not None
    assert site[2] == "found"
    assert float(site[1]) < 0.05
    for name in ("new patients", "new hospital"):
        score = re.search(rf"^{name}: AUROC (\d\.\d+)", told, re.MULTILINE)
        assert score is not None
        assert 0 <= float(score[1]) <= 1
    assert shown(notebook, PLOTLY) == 2


def test_the_label_curve_is_paired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed("02_label_efficiency", tmp_path, monkeypatch)
    folder = tmp_path / "demo" / "efficiency" / "run" / "eval" / "diagnosis" / "latest"
    assert (folder / "report.html").exists()
    found = json.loads((folder / "results.json").read_text())
    assert [one["label"] for one in found["fractions"]] == ["10%", "30%", "100%"]
    drawn = {
        arm: {(s["label"], s["repeat"], s["seed"]) for s in found["scores"] if s["arm"] == arm}
        for arm in ("pretrained", "random")
    }
    # With all labels there is one draw, and one encoder that was pretrained.
    assert {one for one in drawn["pretrained"] if one[0] != "100%"} == {
        one for one in drawn["random"] if one[0] != "100%"
    }
    assert len(re.findall(r"of the labels \(\d+ patients\): .*(?:in|ex)cludes zero", said(notebook))) == 3
    assert shown(notebook, PLOTLY) == 1


def test_volumes_are_reduced_and_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed("03_volumes_and_reduction", tmp_path, monkeypatch)
    there = tmp_path / "demo" / "reduction"
    before, after = Manifest.read(there / "mr.parquet"), Manifest.read(there / "reduced.parquet")
    assert len(before) == len(after)
    train = after.column("split") == "train"
    sizes = np.array([shape[1] for shape in after.select(train).ok().column("shape")])
    kept = np.array([len(one) for one in after.select(train).ok().kept])
    assert (kept < sizes).all()
    assert all(one is None for one in after.select(~train).kept)
    dropped = pq.read_table(there / "reduced.dropped.parquet")
    assert len(dropped) == (sizes - kept).sum()
    assert max(dropped["distance"].to_pylist()) <= 6
    assert (there / "look.html").exists()
    assert (there / "run" / "encoder.safetensors").exists()
    assert shown(notebook, PLOTLY) == 1
    assert shown(notebook, "image/png") == 2


def test_pictures_are_found_in_words_beside_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed("04_image_report_retrieval", tmp_path, monkeypatch)
    there = tmp_path / "demo" / "retrieval"
    found = json.loads((there / "run" / "eval" / "joint" / "latest" / "results.json").read_text())
    asked = [one["protocol"] for one in found["queries"]]
    assert {one.partition(":")[0] for one in asked} >= {"image to report", "report to image"}
    assert "zero-shot lesion of images" in asked
    told = said(notebook)
    verdicts = re.findall(r"by chance 0\.\d+: (?:better|worse|not told apart from chance)", told)
    assert len(verdicts) == len([one for one in asked if not one.startswith("zero-shot")])
    tested = Manifest.read(there / "xray.parquet")
    tested = tested.select(tested.column("split") == "test")
    hits = re.findall(r"^ +[1-5] +-?\d\.\d+ +(\w+)$", told, re.MULTILINE)
    assert len(set(hits)) == 5
    assert set(hits) <= set(tested.column("record_id"))
    assert (there / "found.png").read_bytes().startswith(b"\x89PNG")
    assert shown(notebook, "image/png") == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kept_copy_is_small_and_tells_nothing_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert not [out for out in outputs if out["output_type"] == "error"]
    assert not [out for out in outputs if {PLOTLY, "text/html"} & set(out.get("data", {}))]
    assert any("image/png" in out.get("data", {}) for out in outputs) != (path.stem in WITHOUT_FIGURES)
    printed = "".join("".join(out["text"]) for out in outputs if out["output_type"] == "stream")
    for trace in (str(Path.home()) + "/", str(FOLDER.parent) + "/", "/tmp/", "\r", "it/s"):
        assert trace not in printed


def test_five_stories_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]
