"""Whether pictures tell their reports from those with a word exchanged: side, negation and the like."""

from pathlib import Path

import pytest

from medcl.archive.manifest import Manifest
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.evaluate.results import Results
from tests.data.linked_archive import pictures_with_reports
from tests.evaluate.multimodal_run import trained

CONFIG = MultimodalEvaluateConfig(bootstrap=50, images=0, jobs=1, swaps=True)
SAID = ("An opacity on the left.", "An opacity on the right.", "No opacity of either lung.", "Both lungs are opaque.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt which pattern is left, and which right."""
    folder = tmp_path_factory.mktemp("swaps")
    manifest = pictures_with_reports(
        folder / "archive", 24, text=lambda pattern, number: f"Study {number}. {SAID[pattern]}"
    )
    manifest.write(folder / "m.parquet")
    trained(folder / "run", manifest, folder / "m.store", steps=150)
    return folder


def measured(folder: Path, config: MultimodalEvaluateConfig = CONFIG) -> Results:
    return evaluate_multimodal(
        [folder / "run"], Manifest.read(folder / "m.parquet"), config, folder / "m.store", folder / "out"
    )


def accuracy(results: Results, what: str, arm: str) -> float:
    row = results.find(f"image to report or its opposite: {what}", arm, "0", "accuracy")
    assert row is not None
    return row.mean


@pytest.mark.parametrize("text", ["whole", "sentence"])
def test_a_trained_run_hears_the_side(folder: Path, text: str) -> None:
    config = MultimodalEvaluateConfig(bootstrap=50, images=0, jobs=1, swaps=True, text=text)  # type: ignore[arg-type]
    results = measured(folder, config)
    asked = {one.protocol: one for one in results.queries}
    side = asked["image to report or its opposite: side"]
    # Six test patients with two pictures each; those of every second patient have a side.
    assert (side.records, side.patients, side.candidates) == (6, 3, 2)
    assert accuracy(results, "side", "pretrained") == 1
    assert accuracy(results, "side", "chance") == 0.5
    assert not any(one.endswith(": size") for one in asked)


def test_nothing_is_exchanged_unless_asked_for(folder: Path) -> None:
    plain = measured(folder, MultimodalEvaluateConfig(bootstrap=50, images=0, jobs=1))
    assert not any("opposite" in one.protocol for one in plain.queries)
