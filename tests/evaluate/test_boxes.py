"""`medcl evaluate --boxes`: phrases are looked for in boxes, whose table is checked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import UsageError
from medcl.evaluate import boxes as boxed
from medcl.evaluate.boxes import read_boxes
from tests.evaluate import multimodal_run

HEAD = "record,sentence,x,y,width,height\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    manifest = multimodal_run.archive(folder / "archive", patients=8)
    manifest.write(folder / "m.parquet")
    multimodal_run.trained(folder / "run", manifest, folder / "m.store", steps=2)
    return folder


def test_an_encoder_that_sees_the_boxes_points_at_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images are of 24 x 24 pixels, and 16 x 16 as they are encoded: the upper left third is that of the boxes."""

    def phrase_maps(encoder: object, kind: str, x: torch.Tensor, tokens: torch.Tensor) -> np.ndarray:
        assert len(x) == len(tokens) == 1
        heat = np.full((len(x), 16, 16), 0.1, dtype=np.float32)
        heat[:, :8, :8] += np.random.default_rng(0).uniform(0.2, 0.3, (8, 8)).astype(np.float32)
        return heat

    monkeypatch.setattr(boxed, "phrase_maps", phrase_maps)
    monkeypatch.setattr(boxed, "AT_ONCE", 1)
    # One by the path of its file, one by its id; of two boxes of a phrase one region is made.
    rows = [
        "13,stripes,0,0,12,6",
        "13,stripes,0,6,12,6",
        "image-14,a checkerboard,0,0,12,12",
        "image-0,stripes,0,0,3,3",
    ]
    (folder / "boxes.csv").write_text(HEAD + "\n".join(rows))
    words = ["--bootstrap", "20", "--images", "0", "--jobs", "1", "--boxes", str(folder / "boxes.csv")]
    call = ["evaluate", str(folder / "run"), "--manifest", str(folder / "m.parquet"), "-o", str(folder / "out"), *words]
    assert main(call) == 0
    assert "pointing game" in capsys.readouterr().out
    told = json.loads((folder / "out" / "results.json").read_text())
    rows = [row for row in told["scores"] if row["protocol"] == "grounding of phrases in boxes"]
    own = {row["arm"]: row["metrics"] for row in rows}
    assert {own["pretrained"][one] for one in ("pointing", "pixel_auroc")} == {1}
    assert own["pretrained"]["iou_both"] > 0.95
    assert own["chance"]["pointing"] == pytest.approx(0.25)
    assert [one["records"] for one in told["queries"] if one["protocol"] == rows[0]["protocol"]] == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("record,sentence,x,y,width\nimage-0,stripes,0,0,1\n", "has no column 'height'"),
        (f"{HEAD}image-0,stripes,0,0,,4\n", "boxes.csv, line 2: a cell of record"),
        (f"{HEAD}image-0,stripes,0,0,0,4\n", "a box of width 0 and height 4"),
        (f"{HEAD}image-99,stripes,0,0,1,4\n", "none of its records is an image of the manifest"),
    ],
)
def test_a_table_that_is_none_is_refused(folder: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "boxes.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_boxes(tmp_path / "boxes.csv", Manifest.read(folder / "m.parquet"))
