"""Predictions of the windows of a recording put together, and recordings that lack leads of the encoder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import medcl
from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import UsageError
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.finetune import check
from medcl.evaluate.protocols import Network, head_of, predict, predict_head
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks import TASKS
from medcl.modality.sampling import NumberedSamples
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from medcl.networks.pooling import Pooling

CPU = torch.device("cpu")
CLASSES = ("a", "b", "c")


class Five(NumberedSamples):
    """Samples of three items: two, one and two of them."""

    def __init__(self) -> None:
        self.rows, self.ids = np.array([0, 0, 1, 2, 2]), {}
        self.x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))

    def read(self, numbers: np.ndarray) -> torch.Tensor:
        return self.x[torch.from_numpy(numbers)]


class AsItIs(torch.nn.Module):
    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "binary"])
@pytest.mark.parametrize("way", ["mean", "max"])
def test_the_prediction_of_a_recording_is_the_mean_or_maximum_over_its_windows(kind: str, way: str) -> None:
    target = ResultTarget("t", kind, CLASSES[:2] if kind == "binary" else CLASSES)  # type: ignore[arg-type]
    task = TASKS[kind](target, np.empty(0))
    torch.manual_seed(0)
    network = Network(AsItIs(), head_of(task, 4), Pooling(f"{way}-prediction", 4))  # type: ignore[arg-type]
    network.eval()
    samples = Five()
    found = predict(network, task, samples, np.array([0, 2]), CPU)
    each = predict_head(network.head, task, samples.x.numpy(), CPU)
    expected = np.stack([getattr(each[own], way)(axis=0) for own in (slice(0, 2), slice(3, 5))])
    if kind == "multiclass":
        expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ecg_manifest: Manifest) -> Path:
    """An encoder of leads of which the archive lacks V7."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    network = SignalEncoderConfig("resnet", dim=8, hidden=8, depth=2, stride=4)
    card = SignalCard(network, ("I", "II", "V1", "V5", "V7"), 100.0, 2.0, "record", overlap=0.5)
    runs.start(folder, {"method": "comet"}, runs.SeenPatients.of([], ecg_manifest.metadata["salt"]))
    runs.save_encoder(folder, card.build(), card)
    return folder


def test_an_encoder_is_fine_tuned_on_recordings_that_lack_a_lead(
    run: Path, ecg_manifest: Manifest, tmp_path: Path
) -> None:
    ecg_manifest.write(tmp_path / "m.parquet")
    words = ["finetune", run, "--manifest", tmp_path / "m.parquet", "--target", "sex", "--jobs", "1"]
    words += ["--labels", "100%"]
    words += ["--protocols", "finetune", "--repeats", "1", "--bootstrap", "10", "--finetune.steps", "4"]
    words += ["--finetune.evaluate_every", "2", "--pooling", "max-prediction", "-o", tmp_path / "out"]
    assert main([str(word) for word in words]) == 1
    assert main([*map(str, words), "--zero-missing"]) == 0
    (folder,) = (tmp_path / "out" / "models").iterdir()
    model = medcl.load(folder)
    assert model.card.zero_missing
    assert model.info.pooling == "max-prediction"
    table = medcl.predict(folder, tmp_path / "m.parquet", tmp_path / "p.parquet", jobs=1).value
    assert table["status"].to_pylist().count("ok") == len(ecg_manifest.ok())
    with pytest.raises(UsageError, match="max-prediction is not exported"):
        medcl.export(folder, tmp_path / "x", to="torch")


def test_pooling_of_predictions_is_refused_where_there_are_none_of_samples(ecg_manifest: Manifest) -> None:
    config = EvaluateConfig(target="sex", pooling="max-prediction", finetune=FinetuneConfig(steps=1))
    with pytest.raises(UsageError, match="add --protocols finetune"):
        check(config, ecg_manifest)
    check(replace(config, protocols=["finetune"]), ecg_manifest)
