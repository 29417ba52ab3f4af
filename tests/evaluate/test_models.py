"""Models that `medcl finetune` keeps: which, what is in their folder, and that they predict what was reported."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pytest
import torch

import medcl
from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest, Target
from medcl.data.prepare import prepare
from medcl.documents import read_json, sealed
from medcl.embed import encoders
from medcl.errors import MedclError, UsageError
from medcl.evaluate import arms
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig, SegmentConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.model_card import card_of
from medcl.evaluate.models import MODEL, WEIGHTS, load
from medcl.evaluate.prediction import predict
from medcl.evaluate.results import Results, ResultTarget
from medcl.evaluate.tasks import task_of
from medcl.evaluate.tasks.classes import Binary, Multiclass, Multilabel, Ordinal
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.seen import SeenPatients
from medcl.stats.metrics import measure
from tests.evaluate import segment_archive, signal_run

torch.set_num_threads(1)
CONFIG = EvaluateConfig(
    target="diagnosis",
    labels=["100%"],
    repeats=2,
    bootstrap=20,
    finetune=FinetuneConfig(steps=4, evaluate_every=2),
    save_models="all",
    jobs=1,
)


def multilabel(manifest: Manifest) -> Manifest:
    """The manifest with a target of several classes a record, of which one is rare; some records have none."""
    columns = (manifest.column(name) for name in ("diagnosis", "sex"))
    many = [sorted({str(a), str(b)} - {"None"}) for a, b in zip(*columns, strict=True)]
    many[manifest.split_rows("test")[1]] = []
    classes = tuple(sorted({name for names in many for name in names}))
    column = pa.array([names or None for names in many], pa.list_(pa.string()))
    found = manifest.with_column("many", column)
    return found.with_targets({**found.targets, "many": Target("many", "multilabel", classes)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def manifest(ecg_manifest: Manifest) -> Manifest:
    return multilabel(ecg_manifest)


@pytest.fixture(scope="module")
def run(folder: Path, manifest: Manifest) -> Path:
    return signal_run.write_run(folder / "run", manifest)


@pytest.fixture(scope="module")
def evaluated(folder: Path, run: Path, manifest: Manifest) -> dict[str, Results]:
    return {
        target: finetune([run], manifest, replace(CONFIG, target=target), folder / "store", folder / target)
        for target in ("diagnosis", "sex", "age", "many")
    }


@pytest.mark.parametrize("target", ["diagnosis", "sex", "age", "many"])
def test_every_model_predicts_what_was_reported_to_the_last_digit(
    target: str, evaluated: dict[str, Results], folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    results = Results.load(folder / target / "results.json")
    models = [load(one) for one in sorted((folder / target / "models").iterdir())]
    assert {(one.info.protocol, one.info.arm.kind) for one in models} == {
        ("probe", "run"),
        ("finetune", "run"),
        ("probe", "baseline"),
    }
    manifest.write(tmp_path / "m.parquet")
    for number, model in enumerate(models):
        output = tmp_path / f"{number}.parquet"
        table = medcl.predict(
            model.folder, tmp_path / "m.parquet", output, split="test", store=folder / "store", jobs=1
        ).value
        kind, classes = model.info.target.kind, model.info.target.classes
        names = [f"probability_{name}" for name in classes] or ["value"]
        rows = manifest.split_rows("test")
        labels = manifest.labels(target)[rows]
        known = type(model.task)(model.info.target, manifest.labels(target)).labelled[rows]
        predicted = np.column_stack([table[name].to_numpy() for name in names])[known]
        predicted = predicted[:, 0] if kind == "regression" else predicted[:, 1:] if kind == "binary" else predicted
        found = measure(kind, labels[known], predicted, classes)  # type: ignore[arg-type]
        scores = results.repeats(model.info.protocol, model.info.arm.name, model.info.label)
        told = next(one for one in scores if one.repeat == model.info.repeat)
        assert found.metrics == told.metrics, model.folder.name
        assert repr(found.per_class) == repr(told.per_class)  # NaN is equal to NaN


def in_time(manifest: Manifest) -> Manifest:
    """The manifest with the second of an event, a time of survival, and whether it was observed."""
    rng, n = np.random.default_rng(0), len(manifest)
    happens = rng.uniform(3, 9, n)
    happens[rng.random(n) < 0.3] = np.nan
    columns = {"happens": happens, "days": rng.exponential(100, n), "died": (rng.random(n) < 0.7).astype(float)}
    for name, values in columns.items():
        manifest = manifest.with_column(name, pa.array(values, from_pandas=True))
    return manifest.with_targets({**manifest.targets, **{name: Target(name, "regression") for name in columns}})


ITEMS: dict[str, dict[str, object]] = {
    "patients": {"target": "sex", "bag": "patient"},
    "patients by their largest": {"target": "sex", "bag": "patient", "pooling": "max"},
    "attention": {"target": "diagnosis", "pooling": "attention"},
    "attention to patients": {"target": "sex", "bag": "patient", "pooling": "gated"},
    "survival": {"target": "days", "task": "survival", "event": "died"},
    "discrete survival": {"target": "days", "task": "survival", "event": "died", "survival_head": "discrete"},
    "risk": {"target": "happens", "task": "risk", "horizon": 4.0},
}


@pytest.mark.parametrize("name", ITEMS)
def test_bags_survival_and_risk_are_predicted_as_they_were_reported(
    name: str, run: Path, folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    config = replace(CONFIG, repeats=1, protocols=["probe", "finetune"], **ITEMS[name])  # type: ignore[arg-type]
    manifest = in_time(manifest)
    results = finetune([run], manifest, config, folder / "store", tmp_path)
    readable = manifest.ok()
    loaded = runs.load(run)
    arm = arms.of_run(
        "pretrained", [run], encoders.prepared(readable, encoders.config_of(loaded.card), folder / "store", 1)
    )
    readable = readable.select(arms.usable([arm], readable))
    task, items = task_of(readable, config, arm)
    rows = np.flatnonzero((items.split == "test") & task.labelled)
    models = [load(one) for one in sorted((tmp_path / "models").iterdir())]
    assert {(one.info.protocol, one.info.arm.kind) for one in models} == {
        ("probe", "run"),
        ("finetune", "run"),
        ("probe", "baseline"),
    }
    for model in models:
        table = predict(model, manifest, folder / "store", split="test", jobs=1).table.to_pandas()
        # A row by the record, the patient, or the step that it is of.
        if "time" in table:
            step = zip(table["record_id"], table["time"] - 2.0, strict=True)
            keys = [f"{record}@{start:g}" for record, start in step]
        else:
            keys = list(map(str, table["patient"] if "records" in table else table["record_id"]))
        place = {key: row for row, key in enumerate(keys)}
        values = table.filter(regex="^(probability|risk|survival)_?").to_numpy(float)[
            [place[one] for one in items.ids[rows]]
        ]
        values = values[:, 1:] if task.target.kind in ("binary", "risk") else values
        found = task.measured(rows, values).metrics(np.ones((len(rows), 1)))[0]
        (told,) = results.repeats(model.info.protocol, model.info.arm.name, model.info.label)
        # To the last digits: sums of another order differ in them on some processors.
        again = {metric: float(value[0]) for metric, value in found.items()}
        assert again == pytest.approx(told.metrics, rel=1e-12), model.folder.name


def test_the_best_by_the_validation_patients_is_kept_alone(
    run: Path, evaluated: dict[str, Results], folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    for which in ("best", "none"):
        finetune([run], manifest, replace(CONFIG, save_models=which), folder / "store", tmp_path / which)
    (best,) = (tmp_path / "best" / "models").iterdir()
    assert not (tmp_path / "none" / "models").exists()
    rows, labels = manifest.split_rows("val"), manifest.labels("diagnosis")
    auroc = {}
    for one in (folder / "diagnosis" / "models").iterdir():
        model = load(one)
        table = predict(model, manifest, folder / "store", split="val", jobs=1).table
        found = np.column_stack([table[f"probability_{name}"].to_numpy() for name in model.info.target.classes])
        # Models are chosen before their temperature.
        task = Multiclass(model.info.target, labels)
        raw = found**model.info.calibrator.temperature
        auroc[one.name] = task.score(rows, raw / raw.sum(axis=1, keepdims=True))
    assert auroc[best.name] == pytest.approx(max(auroc.values()))


def test_nearest_neighbours_are_not_kept(run: Path, folder: Path, manifest: Manifest, tmp_path: Path) -> None:
    config = replace(CONFIG, protocols=["knn"], baselines=["none"])
    finetune([run], manifest, config, folder / "store", tmp_path)
    assert not (tmp_path / "models").exists()


def test_a_folder_is_complete_and_names_no_patient(
    evaluated: dict[str, Results], folder: Path, manifest: Manifest
) -> None:
    for one in (folder / "sex" / "models").iterdir():
        names = {path.name for path in one.iterdir()}
        assert names == {"model.json", "model.safetensors", "patients.txt", "environment.json", "README.md"}
        everything = b"".join(path.read_bytes() for path in one.iterdir())
        usable = manifest.ok()
        ids = [*usable.column("record_id"), *np.unique(usable.column("patient")), *usable.column("path")]
        for text in (*map(str, ids), "P0001", str(folder)):
            assert text.encode() not in everything
    card = (folder / "sex" / "models" / "pretrained-probe-repeat-1" / "README.md").read_text()
    for words in ("95% CI", "calibration error", "Threshold of", "temperature", "Not tested", "100% of the training"):
        assert words in card
    train = evaluated["sex"].splits["train"]
    assert f"| train | {train.patients:g} | {train.records:g} |" in card


def test_the_card_tells_of_a_threshold_that_there_is_none(evaluated: dict[str, Results], folder: Path) -> None:
    info = load(folder / "sex" / "models" / "pretrained-probe-repeat-1").info
    by = replace(info.calibrator, thresholds={"specificity": (np.inf,)})
    assert "no probability is high enough" in card_of(replace(info, calibrator=by), evaluated["sex"], 0.7)


def test_on_a_machine_without_the_training_data_the_probabilities_are_the_same(
    evaluated: dict[str, Results], phantom_archive: Path, folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    shutil.copytree(phantom_archive / "ecg", tmp_path / "elsewhere")
    output, pattern = tmp_path / "m.parquet", r"(?P<patient>P\d+)"
    build_manifest(ScanRequest(folder=tmp_path / "elsewhere", output=output, id_pattern=pattern, jobs=1))
    other = Manifest.read(tmp_path / "m.parquet")
    for name in ("pretrained-finetune-repeat-1", "pretrained-probe-repeat-2", "beats-probe-repeat-1"):
        shutil.copytree(folder / "diagnosis" / "models" / name, tmp_path / "models" / name)
        here = predict(load(folder / "diagnosis" / "models" / name), manifest, folder / "store", jobs=1).table
        there = predict(load(tmp_path / "models" / name), other, tmp_path / "store", jobs=1).table
        paths = [Path(one).name for one in manifest.column("path")]
        place = {Path(one).name: row for row, one in enumerate(other.column("path"))}
        assert len(place) == len(there)
        for column in here.column_names:
            if column.startswith("probability_"):
                moved = there[column].to_pandas()[[place[one] for one in paths]]
                np.testing.assert_allclose(moved, here[column].to_pandas(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["pretrained-finetune-repeat-1", "pretrained-probe-repeat-1"])
def test_a_recording_in_memory_is_predicted_as_from_its_file(
    evaluated: dict[str, Results], name: str, folder: Path, manifest: Manifest
) -> None:
    model = load(folder / "sex" / "models" / name)
    store = prepare(manifest, model.data, folder / "store", jobs=1)
    table = predict(model, manifest, folder / "store", jobs=1).table
    for row in (0, 5):
        record = list(store.record_ids).index(manifest.column("record_id")[row])
        found = model.predict(store.read(record))
        assert found == pytest.approx([table["probability_M"][row].as_py()], abs=1e-6)
    with pytest.raises(UsageError, match=r"expected a recording \(4, samples\) at 100 Hz, with the channels I, II, V1"):
        model.predict(np.zeros((12, 1000)))
    with pytest.raises(UsageError, match="no window of 200 samples"):
        model.predict(np.zeros((4, 100)))


def test_a_patient_has_the_mean_of_its_records(evaluated: dict[str, Results], folder: Path, manifest: Manifest) -> None:
    model = load(folder / "diagnosis" / "models" / "pretrained-probe-repeat-1")
    records = predict(model, manifest, folder / "store", jobs=1).table.to_pandas()
    patients = predict(model, manifest.ok(), folder / "store", by="patient", jobs=1).table.to_pandas()
    assert list(patients["patient"]) == list(dict.fromkeys(records["patient"][records["status"] == "ok"]))
    column = "probability_normal"
    for _, row in patients.iterrows():
        own = records[records["patient"] == row["patient"]]
        assert row["records"] == len(own)
        assert row[column] == pytest.approx(own[column].mean())


def test_patients_that_had_a_part_are_counted(
    evaluated: dict[str, Results], folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    model = load(folder / "diagnosis" / "models" / "pretrained-probe-repeat-1")
    assert predict(model, manifest, folder / "store", split="test", jobs=1).warnings == ()
    found = predict(model, manifest, folder / "store", jobs=1)
    patient, split, usable = (manifest.column(name) for name in ("patient", "split", "status"))
    part, every = set(patient[(split == "train") | (split == "val")]), set(patient[usable == "ok"])
    assert found.warnings[0].startswith(f"warning: {len(part)} of {len(every)} patients had a part in the model")
    np.testing.assert_array_equal(found.table["seen"].to_numpy(), np.isin(patient, list(part)))
    foreign = replace(manifest, metadata={**manifest.metadata, "salt": "of another site"})
    told = predict(model, foreign, folder / "store", split="test", jobs=1)
    assert "another salt" in told.warnings[0]
    assert told.table["seen"].null_count == len(told.table)


def test_patients_of_a_pretraining_under_another_salt_are_kept_apart(
    folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    run = signal_run.write_run(tmp_path / "run", replace(manifest, metadata={"salt": "elsewhere"}))
    config = replace(CONFIG, protocols=["probe"], baselines=["none"], save_models="best")
    finetune([run], manifest, config, folder / "store", tmp_path / "out")
    (one,) = (tmp_path / "out" / "models").iterdir()
    labels, pretraining = load(one).patients
    assert (labels.coded_with, pretraining.coded_with) == (manifest.metadata["salt"], "elsewhere")
    assert pretraining == SeenPatients.read(run / "patients.txt")
    train = np.concatenate([manifest.split_rows(name) for name in ("train", "val")])
    assert len(labels.hashes) == len(np.unique(manifest.column("patient")[train]))


def test_what_is_damaged_foreign_or_pickled_is_refused(
    evaluated: dict[str, Results], folder: Path, tmp_path: Path
) -> None:
    def copied(name: str) -> Path:
        return shutil.copytree(folder / "sex" / "models" / "pretrained-finetune-repeat-1", tmp_path / name)

    with pytest.raises(MedclError, match="not a model folder"):
        load(tmp_path)
    changed = copied("changed") / MODEL
    changed.write_text(changed.read_text().replace("finetune", "probe"))
    with pytest.raises(MedclError, match=r"model\.json"):
        load(changed.parent)
    flipped = copied("flipped") / WEIGHTS
    content = bytearray(flipped.read_bytes())
    content[-5] ^= 1
    flipped.write_bytes(content)
    with pytest.raises(MedclError, match=r"model\.safetensors"):
        load(flipped.parent)
    fired = tmp_path / "fired"
    pickled = copied("pickled")
    (pickled / WEIGHTS).write_bytes(pickle.dumps(_Fires(fired)))
    with pytest.raises(MedclError, match=r"model\.safetensors"):
        load(pickled)
    assert not fired.exists()
    newer = copied("newer") / MODEL
    about = read_json(newer, "")
    newer.write_text(json.dumps(sealed({**about, "version": 99})))
    with pytest.raises(MedclError, match="version 99"):
        load(newer.parent)


class _Fires:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_temperature_keeps_ranks_and_makes_the_validation_labels_likelier() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    sure = 1 / (1 + np.exp(-8 * (labels - 0.5 + rng.normal(size=200))))[:, None]
    task = Binary(ResultTarget("y", "binary", ("no", "yes")), labels)
    first, second = np.arange(100), np.arange(100, 200)
    found = task.finished(first, sure[first], sure[second], "probe")
    before, after = (task.measured(second, p).metrics(np.ones((100, 1)))[0] for p in (sure[second], found))
    assert before["auroc"] == after["auroc"]
    assert after["brier"] < before["brier"]
    assert after["ece"] < before["ece"]
    np.testing.assert_array_equal(task.finished(first, sure[first], sure[second], "knn"), sure[second])


def test_a_validation_set_without_an_error_costs_no_rank() -> None:
    labels = np.array([0, 0, 1, 1] * 2)
    p = np.array([0.1, 0.2, 0.8, 0.9, 0.05, 0.3, 0.95, 0.99])[:, None]
    task = Binary(ResultTarget("y", "binary", ("no", "yes")), labels)
    found = task.finished(np.arange(4), p[:4], p[4:], "probe")
    assert len(np.unique(found)) == 4


def test_thresholds_are_those_of_the_validation_items() -> None:
    labels = np.array([[0, 0], [0, 0], [0, 0], [1, 0], [1, 0]], dtype=np.float32)
    p = np.array([[0.1, 0.3], [0.2, 0.3], [0.6, 0.3], [0.5, 0.3], [0.7, 0.3]])
    task = Multilabel(ResultTarget("y", "multilabel", ("a", "b")), labels)
    by = task.calibrator(np.arange(5), p)
    adjusted = task.adjusted(p, by)
    assert by.thresholds["youden"] == (pytest.approx(adjusted[3, 0]), 0.5)
    assert by.thresholds["specificity"] == (pytest.approx(adjusted[4, 0]), 0.5)
    decided = task.outputs(adjusted, by.thresholds["youden"])["decision"]
    assert decided == [[], [], ["a"], ["a"], ["a"]]


def test_grades_are_reported_as_they_are() -> None:
    task = Ordinal(ResultTarget("y", "ordinal", ("0", "1", "2")), np.array([0, 1, 2]))
    p = np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3], [0.0, 0.25, 0.75]])
    rows = np.arange(3)
    np.testing.assert_array_equal(task.finished(rows, p, p, "probe"), p)
    assert task.outputs(p)["decision"] == ["0", "1", "2"]


@pytest.mark.parametrize("size", [(16, 16, 1), (16, 16, 8)])
def test_label_maps_are_those_of_the_evaluation(tmp_path: Path, size: tuple[int, int, int]) -> None:
    manifest = segment_archive.write_heads(tmp_path)
    network = ImageEncoderConfig("unet", widths=(2, 4, 4), dim=4, dims=2 if 1 in size else 3)
    run = segment_archive.write_run(tmp_path / "run", manifest, network=network, data=VolumeConfig(size=size))
    training = SegmentConfig(iterations=4, batch=2, evaluate_every=4, validation_volumes=1)
    config = EvaluateConfig("mask", labels=["2"], repeats=1, bootstrap=5, segment=training, save_masks=True, jobs=1)
    finetune([run], manifest, config, tmp_path / "store", tmp_path / "out")
    (one,) = (tmp_path / "out" / "models").iterdir()
    shutil.rmtree(run)
    manifest.write(tmp_path / "m.parquet")
    found = medcl.predict(one, tmp_path / "m.parquet", tmp_path / "p.parquet", split="test", jobs=1).value
    assert len(found) == len(manifest.split_rows("test"))
    for path in found["label_map"].to_pylist():
        assert (tmp_path / path).read_bytes() == (tmp_path / "out/masks/pretrained/2" / Path(path).name).read_bytes()
    with pytest.raises(UsageError, match="predicted one by one"):
        medcl.predict(one, tmp_path / "m.parquet", tmp_path / "q.parquet", by="patient")
    model = medcl.load(one)
    labels = model.predict(np.zeros((1, 20, 16, 8)))
    assert labels.shape == (20, 16, 8)
    with pytest.raises(UsageError, match="expected a volume"):
        model.predict(np.zeros((20, 16, 8)))
    row = int(manifest.split_rows("test")[0])
    known = nib.load(tmp_path / found["label_map"][0].as_py())
    np.testing.assert_array_equal(
        model.predict(nib.load(manifest.root / manifest.column("path")[row])), np.asarray(known.dataobj)
    )
