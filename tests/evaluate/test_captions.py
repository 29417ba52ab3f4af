"""A run with a decoder of reports on images of shapes: kept, loaded, and measured by `medcl evaluate`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl import runs
from medcl.cli import main
from medcl.documents import merge
from medcl.evaluate.captions import _of_another
from medcl.evaluate.results import Results
from medcl.networks.captioner import Captioner
from medcl.pretrain.run import pretrain
from medcl.stats.perplexity import Surprise
from tests import toy

RIGHT, WRONG = "perplexity", "perplexity_elsewhere"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> toy.Toy:
    return toy.written(tmp_path_factory.mktemp("captions"), 60)


@pytest.fixture(scope="module")
def run(archive: toy.Toy) -> Path:
    return toy.trained(archive, toy.ARMS["coca_cells"], archive.folder / "run", steps=60)


@pytest.mark.acceptance
def test_a_report_is_foreseen_better_with_its_image_than_with_that_of_another_patient(
    archive: toy.Toy, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the first run: 1.25 [1.19, 1.33] and 1.48 [1.35, 1.66]."""
    out = archive.folder / "out"
    command = ["evaluate", str(run), "--manifest", str(archive.folder / "toy.parquet"), "-o", str(out)]
    assert main([*command, "--bootstrap", "100", "--images", "0"]) == 0
    assert "perplexity" in capsys.readouterr().out
    results = Results.load(out / "results.json")
    own, other = (results.find("words of the report of images", "pretrained", "0", one) for one in (RIGHT, WRONG))
    assert own is not None
    assert other is not None
    assert 1 < own.low < own.mean < 1.4
    assert other.mean > own.high


def test_the_decoder_is_kept_with_the_side_that_it_looks_at(run: Path) -> None:
    whole = runs.load(run)
    assert whole.card.captioners["image"].dim == whole.card.sides["image"].encoder.dim
    assert isinstance(whole.encoder.captioners["image"], Captioner)
    assert len(runs.load(run, ["report"]).encoder.captioners) == 0
    assert len(runs.load(run, ["image"]).encoder.captioners) == 1


def test_without_weight_the_encoders_are_those_of_clip(archive: toy.Toy, tmp_path: Path) -> None:
    none = toy.Arm("coca", merge(toy.CELLS, {"objectives": {"caption": {"weight": 0.0}}}))
    both = toy.recipe(none, steps=3)
    recipes = {"clip": replace(both, objectives={"pair": both.objectives["pair"]}), "none": both}
    recipes["coca"] = toy.recipe(toy.ARMS["coca_cells"], steps=3)
    found = {}
    for name, one in recipes.items():
        pretrain(one, archive.manifest, archive.store, tmp_path / name)
        found[name] = runs.load(tmp_path / name).encoder.sides.state_dict()
    assert all(torch.equal(value, found["none"][name]) for name, value in found["clip"].items())
    assert not all(torch.equal(value, found["coca"][name]) for name, value in found["clip"].items())


def test_the_perplexity_is_that_of_all_tokens_that_are_weighed() -> None:
    sums, tokens = np.array([2.0, 3.0, 8.0]), np.array([2.0, 6.0, 4.0])
    weights = np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 1.0]])
    found = Surprise({RIGHT: sums}, tokens).metrics(weights)[0][RIGHT]
    np.testing.assert_allclose(found, np.exp([13 / 12, 12 / 8]))


@pytest.mark.parametrize("patients", [[1, 2], [1, 1, 1, 2], [1, 1, 2, 2, 3], [3, 1, 3, 2, 1, 3, 4]])
def test_the_other_record_is_of_another_patient(patients: list[int]) -> None:
    of = np.array(patients)
    other = _of_another(of)
    assert (of[other] != of).all()
