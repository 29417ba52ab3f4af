"""A finished run of FDT embeds by its codes, one side or both, from its folder."""

from pathlib import Path

import pytest
import torch

from medcl import runs
from medcl.embed.encoders import sides_of
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from tests.toy import ARMS, Toy, trained, written


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return written(tmp_path_factory.mktemp("toy"), 16)


@pytest.fixture(scope="module")
def folder(toy: Toy) -> Path:
    return trained(toy, ARMS["fdt_cells"], toy.folder / "run", steps=4)


def test_a_side_alone_embeds_as_with_the_others(folder: Path) -> None:
    whole = runs.load(folder)
    assert whole.card.codes == 256
    assert float(whole.encoder.codes.temperature) == 10.0
    ids = torch.tensor([[1, 5, 7, 2, 0], [1, 6, 2, 0, 0]])
    images = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        for kind, x in (("report", ids), ("image", images)):
            (alone,) = sides_of(folder, kind)
            assert alone.joint
            z = alone.network.embed(x)
            assert z.shape == (2, 64)
            torch.testing.assert_close(z, whole.encoder.embed(kind, x))


def test_it_is_evaluated_as_other_runs(toy: Toy, folder: Path) -> None:
    boxes = toy.folder / "archive" / "shapes" / "boxes.csv"
    config = MultimodalEvaluateConfig(bootstrap=5, images=1, jobs=1, swaps=True, boxes=boxes)
    found = evaluate_multimodal([folder], toy.manifest, config, toy.store, toy.folder / "eval")
    metrics = {row.metric for row in found.summary if row.arm == "pretrained"}
    assert {"recall@1", "accuracy", "pointing"} <= metrics
    assert found.grounding
