"""Labels of patients from all of their records, pooled in every way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl import runs
from medcl.archive.manifest import Manifest, Target
from medcl.embed import encoders
from medcl.embed.encoders import embed_records
from medcl.errors import MedclError
from medcl.evaluate import arms
from medcl.evaluate.attention_probe import AsTheyAre, Embedded, attention_probe
from medcl.evaluate.cells import FOLDER
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.heat_strips import strips
from medcl.evaluate.items import Bags, Items
from medcl.evaluate.protocols import Network, attention, linear_probe, predict, predict_linear
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks import TASKS
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from medcl.networks.pooling import Pooling
from medcl.show.images import CIVIDIS

CPU = torch.device("cpu")
CONFIG = EvaluateConfig(
    target="ill",
    bag="patient",
    labels=["100%"],
    repeats=1,
    bootstrap=10,
    finetune=FinetuneConfig(steps=4, evaluate_every=2),
    jobs=1,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ecg_manifest: Manifest) -> Path:
    """An encoder with random weights stands for a pretrained one."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    network = SignalEncoderConfig("resnet", dim=16, hidden=8, depth=2, stride=4)
    card = SignalCard(network, ("I", "II", "V1", "V5"), 100.0, 2.0, "record")
    runs.start(folder, {"method": "comet"}, runs.SeenPatients.of([], ecg_manifest.metadata["salt"]))
    torch.manual_seed(5)
    runs.save_encoder(folder, card.build(), card)
    return folder


@pytest.fixture(scope="module")
def manifest(ecg_manifest: Manifest) -> Manifest:
    """With a label of the patient, in every split of both kinds, which one record in five lacks."""
    patients = ecg_manifest.column("patient")
    ill = np.isin(patients, np.unique(patients)[::2])
    known = [None if i % 5 == 4 else "yes" if one else "no" for i, one in enumerate(ill.tolist())]
    labelled = ecg_manifest.with_column("ill", pa.array(known, pa.string()))
    return labelled.with_targets({**labelled.targets, "ill": Target("ill", "binary", ("no", "yes"))})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "ecg.store"


@pytest.mark.parametrize("pooling", ["mean", "max", "top-k", "attention", "gated"])
def test_a_patient_is_one_item_by_every_pooling(
    run: Path, manifest: Manifest, store: Path, tmp_path: Path, pooling: str
) -> None:
    config = replace(CONFIG, pooling=pooling, top_k=2)  # type: ignore[arg-type]
    results = finetune([run], manifest, config, store, tmp_path)
    assert results.items == "patients"
    for split in ("train", "val", "test"):
        patients = np.unique(manifest.column("patient")[manifest.split_rows(split)])
        assert results.splits[split].patients == results.splits[split].records == len(patients)
    assert results.protocols == ("probe", "finetune") if pooling in ("attention", "gated") else 3
    assert all(np.isfinite(list(score.metrics.values())).all() for score in results.scores)
    weights = [one["attention"] for one in _cells(store) if "attention" in one]
    for one in weights if pooling == "attention" else []:
        assert one.sum() == pytest.approx(results.splits["test"].patients, abs=1e-4)
        assert (one > 0).all()
    page = (tmp_path / "report.html").read_text()
    assert ("Which samples count" in page) == (pooling in ("attention", "gated"))
    assert bool(weights) or pooling not in ("attention", "gated")


@pytest.mark.parametrize("contrast", ["sc-mil", "ins"])
def test_bags_and_their_samples_are_contrasted(
    run: Path, manifest: Manifest, store: Path, tmp_path: Path, contrast: str
) -> None:
    tuning = replace(CONFIG.finetune, contrast=contrast)  # type: ignore[arg-type]
    settings = {"protocols": ["finetune"], "scratch": False, "baselines": ["none"], "pooling": "gated"}
    config = replace(CONFIG, finetune=tuning, **settings)  # type: ignore[arg-type]
    before = len(_cells(store))
    results = finetune([run], manifest, config, store, tmp_path)
    assert len(_cells(store)) == before + 1
    assert np.isfinite(list(results.scores[0].metrics.values())).all()
    assert ("a score of 0 of yes" in (tmp_path / "report.html").read_text()) == (contrast == "ins")


def test_a_strip_shows_the_weights_of_an_item() -> None:
    image = strips(np.array([0.25] * 4 + [0.0, 0.5]), np.array([4, 2]), np.array([1, 0]))
    low, even, high = (np.array(CIVIDIS)[place] for place in (0, 1, 2))
    # The second item is drawn first: its samples take half of the strip each.
    assert image.shape == (20, 240, 3)
    assert (image[:8, :120] == low).all()
    assert (image[:8, 120:] == high).all()
    assert (image[10:18] == even).all()
    assert (image[8:10] == 255).all()


def test_a_bag_of_ten_thousand_samples_passes_an_encoder_in_pieces_of_one_size() -> None:
    """What is held grows by an embedding and a weight a sample, whatever a sample itself takes."""
    largest = []

    class Watched(AsTheyAre):
        def embed(self, x: torch.Tensor) -> torch.Tensor:
            largest.append(len(x))
            return x

    class Pieces(Embedded):
        at_a_time = 256

    for size in (1_000, 10_000):
        samples = Pieces(np.zeros((size, 8), np.float32), np.zeros(size, np.int64))
        network = Network(Watched(8), torch.nn.Linear(8, 1), Pooling("gated", 8))
        weights = attention(network, samples, np.array([0]), CPU)
        np.testing.assert_allclose(weights, 1 / size, rtol=1e-4)
        assert max(largest) <= 256


def _cells(store: Path) -> list[dict[str, np.ndarray]]:
    return [dict(np.load(path)) for path in (store / FOLDER).glob("*.npz")]


def test_records_of_a_patient_with_different_labels_are_counted(
    run: Path, manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    patients = manifest.column("patient")
    ids, count = np.unique(patients, return_counts=True)
    several = ids[count > 1][:2]
    mixed = ["yes" if p in several and i == np.flatnonzero(patients == p)[-1] else "no" for i, p in enumerate(patients)]
    with pytest.raises(MedclError, match="patients with a label for ill, [12] have records"):
        finetune([run], manifest.with_column("ill", pa.array(mixed, pa.string())), CONFIG, store, tmp_path)


def test_the_mean_of_a_record_is_what_it_was_and_that_of_a_patient_is_over_all_samples(
    run: Path, manifest: Manifest, tmp_path: Path
) -> None:
    data, manifest = encoders.config_of(runs.load(run).card), manifest.ok()
    arm = arms.of_run("run", [run], encoders.prepared(manifest, data, tmp_path / "store", 1))
    manifest = manifest.select(arms.usable([arm], manifest))
    rows, samples = np.arange(len(manifest)), arm.samples(manifest)
    single = arm.embed(manifest, Items.records(manifest), rows, 0, 0)["z"]
    np.testing.assert_array_equal(single, embed_records(arm.encoder(0, 0), samples, rows, CPU))
    bags = Items.bags(manifest, "patient")
    assert isinstance(bags.grouping, Bags)
    count = np.array([len(samples.samples_of(row)) for row in rows])
    found = arm.embed(manifest, bags, np.arange(len(bags.row)), 0, 0)["z"]
    for bag, one in enumerate(found):
        own = bags.grouping.bag == bag
        np.testing.assert_allclose(one, np.average(single[own], axis=0, weights=count[own]), atol=1e-5)
    baseline = arms.baselines(arm, ["covariance"])[0]
    of_records = baseline.embed(manifest, Items.records(manifest), rows, 0, 0)
    of_bags = baseline.embed(manifest, bags, np.arange(len(bags.row)), 0, 0, "max")
    first = of_records["z"][bags.grouping.bag == 0].max(axis=0)
    np.testing.assert_allclose(of_bags["z"][0], first)
    np.testing.assert_allclose(of_bags["state.reference"], of_records["state.reference"])


def test_a_baseline_learns_of_the_training_patients_of_its_fold_alone(
    run: Path, manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    settings = {"target": "age", "bag": "record", "protocols": ["probe"], "baselines": ["covariance"], "scratch": False}
    unsplit = manifest.with_column("split", pa.array([None] * len(manifest), pa.string()))
    config = replace(CONFIG, folds="3", save_models="none", **settings)  # type: ignore[arg-type]
    before = {path.name for path in (store / FOLDER).glob("*.npz")}
    finetune([run], unsplit, config, store, tmp_path)
    new = [path for path in (store / FOLDER).glob("*.npz") if path.name not in before]
    references = [np.load(path)["state.reference"] for path in new if "state.reference" in np.load(path)]
    assert len(references) == 3
    assert np.isfinite(references).all()
    assert not np.allclose(references[0], references[1], rtol=1e-3)


def test_attention_finds_the_rare_sample_that_the_mean_drowns() -> None:
    rng = np.random.default_rng(0)
    n, size = 300, 20
    labels = np.arange(n) % 2
    z = rng.normal(size=(n * size, 8)).astype(np.float32)
    item = np.repeat(np.arange(n), size)
    marked = np.flatnonzero(labels) * size + rng.integers(size, size=n // 2)
    z[marked, 0] += 4
    z[marked, 1] -= 4
    task = TASKS["binary"](ResultTarget("ill", "binary", ("no", "yes")), labels)
    train, validation, test = np.split(np.arange(n), [120, 200])
    tuned, samples, _ = attention_probe(task, z, item, train, validation, pooling="gated", seed=0, device=CPU)
    found = task.score(test, predict(tuned.network, task, samples, test, CPU))
    mean = z.reshape(n, size, 8).mean(axis=1).astype(np.float64)
    model = linear_probe(task, mean, train, validation)
    assert found > max(0.9, task.score(test, predict_linear(task, model, mean[test])))
    weights = attention(tuned.network, samples, test, CPU).reshape(-1, size)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    true = (marked % size)[test[labels[test] == 1] // 2]
    assert (weights[labels[test] == 1].argmax(axis=1) == true).mean() > 0.8
