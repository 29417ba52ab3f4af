"""Pretrained text sides: a transformers model that is trained by low-rank updates, or locked, and loaded again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.modality.spec import TextCard
from medcl.pretrain.run import pretrain
from tests.data.linked_archive import pictures_with_reports
from tests.modality.report.encoders.pretrained_texts import bert

from .multimodal_recipe import IMAGE, REPORT, small


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return pictures_with_reports(tmp_path_factory.mktemp("texts"), patients=8)


def side(folder: Path, *, lora: int = 0, locked: bool = False) -> dict[str, Any]:
    encoder = {"name": str(bert(folder)), "dim": 32, "lora": lora}
    return {**REPORT, "encoder": encoder, "locked": locked}


@pytest.mark.parametrize("how", ["lora", "locked"])
def test_a_transformers_text_side_trains_loads_and_is_evaluated(archive: Manifest, tmp_path: Path, how: str) -> None:
    report = side(tmp_path / "bert", lora=2 if how == "lora" else 0, locked=how == "locked")
    for steps in (1, 3):
        done = pretrain(
            small(steps, inputs={"image": IMAGE, "report": report}),
            archive,
            tmp_path / "store",
            tmp_path / f"run{steps}",
        )
        assert done.finished
    # A run is whole: its text side needs no folder of the model any more.
    (tmp_path / "bert").rename(tmp_path / "gone")
    first, last = (runs.load_joint(tmp_path / f"run{steps}") for steps in (1, 3))
    card = last.card.sides["report"]
    assert isinstance(card, TextCard)
    assert card.architecture is not None
    changed = {
        name
        for name, value in last.encoder.side("report").state_dict().items()
        if not torch.equal(value, first.encoder.side("report").state_dict()[name])
    }
    # The weights that the model came with never change: only the low-rank updates do, or none.
    assert bool(changed) == (how == "lora")
    assert all("lora_" in name for name in changed)
    config = MultimodalEvaluateConfig(bootstrap=20, images=0, jobs=1)
    results = evaluate_multimodal([tmp_path / "run3"], archive, config, tmp_path / "store", tmp_path / "eval")
    assert results.splits["test"].per_class == {"images": 4, "reports": 4}
    recall = [row.mean for row in results.summary if row.metric == "recall@1"]
    assert recall
    assert np.isfinite(recall).all()
