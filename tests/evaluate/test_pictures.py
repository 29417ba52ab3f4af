"""An encoder of pictures is measured by the path of the others, on a manifest that holds reports and recordings too."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl import runs
from medcl.archive.manifest import Manifest, Target
from medcl.errors import MedclError
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.finetune import finetune
from medcl.modality.image.config import ImageConfig
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import ImageCard, from_json, to_json
from tests.data.image_archive import write_archive

CARD = ImageCard(
    ImageEncoderConfig("unet", dims=2, dim=8, widths=(4, 8), norm="group"),
    1,
    "xray",
    asdict(ImageConfig(size=(16, 16))),
)


def _manifest(folder: Path) -> Manifest:
    """Sixty patients; the pictures of every other one show a bright half."""
    pictures = {}
    for number in range(60):
        pixels = np.random.default_rng(number).integers(0, 120, (20, 20)).astype(np.uint8)
        pixels[:, 10:] += np.uint8(100 * (number % 2))
        pictures[f"{number:02}"] = pixels
    manifest = write_archive(folder, pictures, others=True)
    patient = manifest.column("patient")
    split = [("train", "train", "val", "test")[number // 2 % 4] for number in patient.tolist()]
    finding = [("clear", "opacity")[number % 2] for number in patient.tolist()]
    manifest = manifest.with_column("split", pa.array(split)).with_column("finding", pa.array(finding))
    return manifest.with_targets({"finding": Target("finding", "binary", ("clear", "opacity"))})


def _run(folder: Path) -> Path:
    torch.manual_seed(0)
    runs.start(folder, {"method": "none", "data": CARD.data}, runs.SeenPatients.of([], "test"))
    runs.save_encoder(folder, CARD.build(), CARD)
    return folder


def test_a_run_on_pictures_is_evaluated_on_the_pictures_of_a_mixed_manifest(tmp_path: Path) -> None:
    manifest, run = _manifest(tmp_path / "archive"), _run(tmp_path / "run")
    config = EvaluateConfig(target="finding", labels=("100%",), repeats=1, protocols=("probe",), bootstrap=20, jobs=1)
    results = finetune([run], manifest, config, tmp_path / "store", tmp_path / "out")
    assert {name: split.records for name, split in results.splits.items()} == {"train": 32, "val": 14, "test": 14}
    assert not [note for note in results.notes if "left out" in note]
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    found = {score.arm: score for score in results.scores}
    assert found.keys() == {"pretrained", "random", "pixels"}


def test_a_card_of_pictures_survives_its_file(tmp_path: Path) -> None:
    assert to_json(from_json(to_json(CARD))) == to_json(CARD)
    run = runs.load(_run(tmp_path / "run"))
    assert run.encoder.embed(torch.zeros(2, 1, 16, 16)).shape == (2, 8)
    with pytest.raises(MedclError, match="not trained on volumes"):
        runs.load_volumes(tmp_path / "run")
