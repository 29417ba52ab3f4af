"""`medcl finetune` on a real archive: what it measures, what it refuses, what does not change it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from medcl import runs
from medcl.archive.manifest import Manifest, Target
from medcl.documents import plain
from medcl.embed import encoders
from medcl.errors import LeakError, MedclError, UsageError
from medcl.evaluate.arms import baselines, of_run
from medcl.evaluate.cells import FOLDER
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.folds import divided
from medcl.evaluate.label_plan import LabelPlan
from medcl.evaluate.protocols import linear_probe, nearest_neighbours, predict_linear
from medcl.evaluate.results import Results, ResultTarget
from medcl.evaluate.tasks import task_of
from medcl.evaluate.tasks.base import Task
from medcl.evaluate.tasks.classes import Binary
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard

CONFIG = EvaluateConfig(
    target="diagnosis",
    labels=["50%", "100%"],
    repeats=2,
    bootstrap=20,
    finetune=FinetuneConfig(steps=4, evaluate_every=2),
    jobs=1,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "ecg.store"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ecg_manifest: Manifest) -> Path:
    """An encoder with random weights stands for a pretrained one: what is measured of it is not what is tested here."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    card = SignalCard(
        SignalEncoderConfig("resnet", dim=16, hidden=8, depth=2, stride=4),
        ("I", "II", "V1", "V5"),
        100.0,
        2.0,
        "record",
    )
    patients = np.unique(ecg_manifest.column("patient")[ecg_manifest.split_rows("train")])
    runs.start(folder, {"method": "comet"}, runs.SeenPatients.of(patients.tolist(), ecg_manifest.metadata["salt"]))
    torch.manual_seed(5)
    runs.save_encoder(folder, card.build(), card)
    return folder


def test_every_protocol_at_every_fraction_beside_random_weights(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    results = finetune([run], ecg_manifest, CONFIG, store, tmp_path)
    cells = {(s.protocol, s.arm, s.label, s.repeat) for s in results.scores}
    baselines = [arm.name for arm in results.arms if arm.kind == "baseline"]
    assert baselines == ["band_power", "covariance", "beats"]
    assert len(cells) == len(results.scores) == 3 * 2 * 2 * 2 + len(baselines) * 2 * 2
    assert results.metric == "auroc"
    assert not any("holds no record" in note for note in results.notes)
    for row in results.differences:
        of = ["probe" if arm in baselines else row.protocol for arm in (row.arm, row.other)]
        first, second = (
            np.mean([score.metrics[row.metric] for score in results.repeats(protocol, arm, row.label)])
            for protocol, arm in zip(of, (row.arm, row.other), strict=True)
        )
        assert row.mean == pytest.approx(first - second)
        assert (row.p < 0.05) == row.excludes_zero
        assert row.p_holm >= row.p
    for row in results.summary:
        assert row.metric == "brier" or 0 <= row.low <= row.mean <= row.high <= 1 or np.isnan(row.mean)
    assert [f.label for f in results.fractions] == ["50%", "100%"]
    train = ecg_manifest.split_rows("train")
    assert results.fractions[1].patients == len(np.unique(ecg_manifest.column("patient")[train]))
    assert plain(Results.load(tmp_path / "results.json")) == plain(results)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"P\d{4}_r\d", page), "no clear id of a patient"
    assert not any(str(code) in page for code in ecg_manifest.ok().column("patient"))


def test_the_number_of_processes_changes_nothing_and_a_cell_is_computed_once(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    tuning = FinetuneConfig(steps=2, evaluate_every=1)
    config = replace(CONFIG, seed=11, labels=["50%"], protocols=["probe", "finetune"], finetune=tuning)
    first = finetune([run], ecg_manifest, replace(config, jobs=2), store, tmp_path / "two")
    kept = {path: path.stat().st_mtime_ns for path in (store / FOLDER).iterdir()}
    again = finetune([run], ecg_manifest, config, store, tmp_path / "one")
    assert _found(again) == _found(first)
    assert {path: path.stat().st_mtime_ns for path in (store / FOLDER).iterdir()} == kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:-40])
    anew = finetune([run], ecg_manifest, config, store, tmp_path / "anew")
    assert _found(anew) == _found(first)


def _found(results: Results) -> str:
    """All that was measured, in the order of `results.json`."""
    return repr(
        [results.scores, results.summary, results.differences, results.calibration, results.confusion, results.notes]
    )


@pytest.mark.parametrize(("target", "metric"), [("age", "r2"), ("sex", "auroc")])
def test_values_and_two_classes(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path, target: str, metric: str
) -> None:
    results = finetune([run], ecg_manifest, replace(CONFIG, target=target, labels=["100%"]), store, tmp_path)
    assert results.metric == metric
    assert all(np.isfinite(list(score.metrics.values())).all() for score in results.scores)


def test_several_labels_a_record(run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    diagnosis = ecg_manifest.column("diagnosis")
    sex = ecg_manifest.column("sex")
    many = [[str(a), str(b)] for a, b in zip(diagnosis, sex, strict=True)]
    classes = tuple(sorted({name for names in many for name in names} - {"None"}))
    column = pa.array([[name for name in names if name != "None"] or None for names in many], pa.list_(pa.string()))
    manifest = ecg_manifest.with_column("many", column)
    manifest = manifest.with_targets({**manifest.targets, "many": Target("many", "multilabel", classes)})
    results = finetune([run], manifest, replace(CONFIG, target="many", labels=["100%"]), store, tmp_path)
    assert {c.class_name for c in results.confusion} == set(classes)


def test_patients_of_the_pretraining_are_not_tested_unless_asked_for(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    swapped = ecg_manifest.column("split").astype(object)
    train, test = (swapped == name for name in ("train", "test"))
    swapped[train], swapped[test] = "test", "train"
    manifest = ecg_manifest.with_column("split", pa.array(list(swapped), pa.string()))
    with pytest.raises(LeakError, match="--allow-transductive"):
        finetune([run], manifest, CONFIG, store, tmp_path)
    config = replace(CONFIG, allow_transductive=True, labels=["100%"], protocols=["probe"])
    results = finetune([run], manifest, config, store, tmp_path)
    assert any("Transductive" in note for note in results.notes)


def test_a_patient_in_two_splits_is_an_error(run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    patients, split = ecg_manifest.column("patient"), ecg_manifest.column("split").astype(object)
    ids, counts = np.unique(patients[ecg_manifest.split_rows("train")], return_counts=True)
    row = np.flatnonzero(patients == ids[counts > 1][0])[0]
    split[row] = "test"
    with pytest.raises(MedclError, match="two splits|more than one split"):
        finetune([run], ecg_manifest.with_column("split", pa.array(list(split), pa.string())), CONFIG, store, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["0%"]}, "0%"),
        ({"labels": ["1"]}, "at least"),
        ({"labels": ["5000"]}, "5000"),
        ({"protocols": ["dream"]}, "dream"),
        ({"target": "shoe size"}, "shoe size"),
        ({"repeats": 0}, "repeats"),
    ],
)
def test_invalid_calls_are_refused(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        finetune([run], ecg_manifest, replace(CONFIG, **change), store, tmp_path)  # type: ignore[arg-type]


def test_a_class_without_training_records_is_named(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    diagnosis = ecg_manifest.column("diagnosis").astype(object)
    train = ecg_manifest.split_rows("train")
    gone = str(diagnosis[train[0]])
    diagnosis[train[diagnosis[train] == gone]] = None
    manifest = ecg_manifest.with_column("diagnosis", pa.array(list(diagnosis), pa.string()))
    with pytest.raises(MedclError, match=gone):
        finetune([run], manifest, CONFIG, store, tmp_path)


def test_the_probes_find_what_is_there_and_choose_by_the_validation_rows() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    z = rng.normal(size=(300, 8))
    z[:, 0] += 3 * labels
    task = Binary(ResultTarget("y", "binary", ("no", "yes")), labels)
    shuffled = Binary(task.target, rng.permutation(labels))
    train, validation, test = np.split(np.arange(300), [60, 150])

    def predicted(task: Task, fit: str) -> np.ndarray:
        if fit == "knn":
            return nearest_neighbours(task, z, train, validation)(z[test])
        return predict_linear(task, linear_probe(task, z, train, validation), z[test])

    for fit in ("probe", "knn"):
        assert predicted(task, fit).shape == (150, 1)
        assert task.score(test, predicted(task, fit)) > 0.95
        assert 0.3 < shuffled.score(test, predicted(shuffled, fit)) < 0.7


def test_results_hold_no_secret(run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    finetune([run], ecg_manifest, replace(CONFIG, labels=["100%"], protocols=["knn"]), store, tmp_path)
    text = json.dumps(json.loads((tmp_path / "results.json").read_text()))
    assert not any(str(code) in text for code in ecg_manifest.ok().column("patient"))


def test_random_weights_and_baselines_are_shared_by_several_runs(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = replace(CONFIG, labels=["100%"], protocols=["probe"])
    results = finetune([run, other], ecg_manifest, config, store, tmp_path / "out")
    assert [arm.name for arm in results.arms] == ["run", "other", "random", "band_power", "covariance", "beats"]
    row = results.difference("probe", "run", "other", "100%", "auroc")
    assert row is not None
    assert (row.mean, row.p) == (0, 1)


def test_an_encoder_of_an_installed_package_is_an_arm(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_nets.py").write_text(
        "import torch\n\nclass Power(torch.nn.Module):\n    def forward(self, x):\n        return x.square().mean(-1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = replace(CONFIG, labels=["100%"], protocols=["probe"], encoders=["their_nets:Power"], baselines=["none"])
    results = finetune([run], ecg_manifest, config, store, tmp_path / "out")
    assert [arm.kind for arm in results.arms] == ["run", "random", "foreign"]
    assert results.find("probe", "Power", "100%", "auroc") is not None
    with pytest.raises(UsageError, match="Nothing"):
        finetune([run], ecg_manifest, replace(config, encoders=["their_nets:Nothing"]), store, tmp_path / "out2")


@pytest.mark.parametrize("folds", ["3", "sex"])
def test_every_patient_is_tested_once_in_folds(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path, folds: str
) -> None:
    config = replace(CONFIG, target="age", labels=["100%"], protocols=["probe"], baselines=["beats"], folds=folds)
    with pytest.raises(LeakError):
        finetune([run], ecg_manifest, config, store, tmp_path / "leak")
    results = finetune([run], ecg_manifest, replace(config, allow_transductive=True), store, tmp_path / "out")
    known = np.isfinite(ecg_manifest.labels("age"))
    n_folds = results.procedure.folds
    assert n_folds == (3 if folds == "3" else len(np.unique(ecg_manifest.column("sex")[known].astype(str))))
    patients = len(np.unique(ecg_manifest.column("patient")[known & ecg_manifest.usable]))
    assert results.splits["test"].patients == pytest.approx(patients)
    assert {score.fold for score in results.scores} == set(range(n_folds))


def test_labels_of_each_class_and_minutes_of_recording(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, labels=["4min"], labels_per_class=[2], protocols=["probe"], baselines=["none"])
    results = finetune([run], ecg_manifest, config, store, tmp_path)
    held = {fraction.label: fraction for fraction in results.fractions}
    assert set(held) == {"2/class", "4min"}
    assert min(held["2/class"].per_class.values()) >= 2


def test_a_baseline_learns_of_the_training_patients_of_its_fold(
    run: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    """Its cell names the items that it was fitted on: those of the fold, not those of the manifest's splits."""
    config = replace(CONFIG, target="age", labels=["100%"], protocols=["probe"], repeats=1, folds="3")
    manifest = ecg_manifest.ok()
    (arm,) = baselines(
        of_run("pretrained", [run], encoders.prepared(manifest, encoders.config_of(runs.load(run).card), store, 1)),
        ["covariance"],
    )
    task, items = task_of(manifest, config)
    plan = LabelPlan(manifest, items, task, config, store / FOLDER)
    for fold in divided(items, task, config, [arm]):
        _, _, given, rows, *_ = plan.embedding(fold, arm, 0).arguments
        np.testing.assert_array_equal(np.flatnonzero(given.split == "train"), fold.train)
        assert set(fold.test.tolist()) <= set(rows.tolist())
