"""The commands as functions: paths or objects in, small objects out."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import medcl
from medcl.api import COMMANDS
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.commands.arguments import Result
from medcl.errors import UsageError
from tests.pretrain.recipe import small

ECG = {"record_column": "record", "patient_column": "patient", "target_columns": ("diagnosis",), "jobs": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def scanned(phantom_archive: Path, folder: Path) -> Result[Manifest]:
    ecg = phantom_archive / "ecg"
    return medcl.scan(ecg, folder / "m.parquet", labels=str(ecg / "labels.csv"), fractions=(0.5, 0.25, 0.25), **ECG)


@pytest.fixture(scope="module")
def run(scanned: Result[Manifest], folder: Path) -> Result[object]:
    medcl.prepare(small(), scanned, jobs=1)
    return medcl.pretrain(small(steps=2), scanned, folder / "run")


def test_the_package_exports_every_command_and_little_is_imported() -> None:
    assert set(COMMANDS) <= set(medcl.__all__)
    script = """
import sys, medcl
assert not {"numpy", "pyarrow", "jsonargparse", "medcl.api"} & set(sys.modules)
from medcl.embed.config import EmbedConfig
import medcl.reduce.config
assert medcl.embed.config.EmbedConfig is EmbedConfig
assert all(callable(getattr(medcl, name)) for name in medcl.__all__ if not name.startswith("_") and name[0].islower())
assert not {"numpy", "pyarrow", "torch", "jsonargparse"} & set(sys.modules), "signatures alone are imported"
from inspect import signature
assert list(signature(medcl.embed).parameters)[:3] == ["run", "manifest", "output"]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'dream'"):
        medcl.dream  # noqa: B018


def test_a_result_is_an_object_a_path_and_a_text(scanned: Result[Manifest], folder: Path) -> None:
    assert Path(scanned) == folder / "m.parquet"
    assert scanned.value.table.equals(Manifest.read(scanned.path or "").table)
    assert "split, patients: train" in repr(scanned)
    assert scanned._repr_html_().startswith("<pre>")
    with pytest.raises(UsageError, match="give output="):
        Path(Result("", lambda: None))


def test_what_is_shown_names_no_patient(scanned: Result[Manifest], run: Result[object]) -> None:
    for shown in (repr(scanned), scanned._repr_html_(), repr(run)):
        assert not any(name in shown for name in ("P0000", "P0001", "P0002"))


def test_a_command_prints_the_text_of_its_function(
    scanned: Result[Manifest], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--fractions", "0.5", "0.25", "0.25", "--seed", "3"]
    assert main(["split", str(scanned.path), "-o", str(folder / "split.parquet"), *words]) == 0
    told = medcl.split(scanned.value, folder / "split.parquet", fractions=(0.5, 0.25, 0.25), seed=3)
    assert capsys.readouterr().out == f"{told}\nnext: {told.then}\n"
    with pytest.raises(UsageError, match="needs output="):
        medcl.split(scanned.value)


def test_from_a_recipe_to_a_page(run: Result[object], scanned: Result[Manifest], folder: Path) -> None:
    found = medcl.finetune(
        run, scanned, "diagnosis", labels=["100%"], protocols=["knn"], repeats=2, bootstrap=20, jobs=1
    )
    assert found.path is not None
    assert found.path.parent == folder / "run" / "eval" / "diagnosis"
    assert found.value.find("knn", "pretrained", "100%", found.value.metric) is not None
    assert "Paired differences of pretrained" in repr(found)
    assert "100%" in str(medcl.compare([found], markdown=True))
    # A manifest in memory is as good as its path, where the place of its prepared records is given.
    embedded = medcl.embed(run, scanned.value, folder / "e.parquet", store=folder / "m.store", level="patient", jobs=1)
    assert embedded.value.vectors().shape == (len(pq.read_table(embedded.path)), small().inputs["signal"].encoder.dim)
    page = medcl.explore(embedded.value, output=folder / "e.html", projection=("pca",), thumbnails=None)
    assert page.value.stat().st_size > 1000
    near = medcl.retrieve(embeddings=embedded, record=embedded.value.column("record_id")[0], k=2)
    assert len(near.value) == 2
    with pytest.raises(UsageError, match="no folder of prepared records"):
        medcl.embed(run, scanned.value, folder / "other.parquet")


def test_a_recipe_is_a_file_a_name_a_mapping_or_an_object(scanned: Result[Manifest], folder: Path) -> None:
    data = {"window": 2.0, "sampling_rate": 50}
    mapping = {"inputs": {"signal": {"data": data}}, "objectives": {"trial": {"of": "signal", "positives": "trial"}}}
    prepared = medcl.prepare(mapping, scanned, jobs=1, store=folder / "own.store")
    assert prepared.value["signal"].sampling_rate == 50
    again = medcl.prepare("demo_comet", scanned, jobs=1, store=folder / "own.store", data=data)
    assert again.value["signal"].sampling_rate == 50
    with pytest.raises(UsageError, match="no setting 'inputs.signal.data.windwo'"):
        medcl.prepare("demo_comet", scanned, data={"windwo": 2.0})
    with pytest.raises(UsageError, match="recipe dream: there is no such file"):
        medcl.prepare("dream", scanned)


def test_one_value_stands_for_a_sequence_of_one(scanned: Result[Manifest], run: Result[object], folder: Path) -> None:
    assert medcl.reduce(scanned, folder / "one.parquet", by="hash", scope="archive").value.reduced is not None
    found = medcl.finetune(run, scanned, "diagnosis", labels="100%", protocols="probe", repeats_full=1, bootstrap=20)
    assert {score.label for score in found.value.scores} == {"100%"}


def test_reductions_are_objects(scanned: Result[Manifest], folder: Path) -> None:
    reduced = medcl.reduce(scanned, folder / "r.parquet", by=["entropy"], keep="50%", split="all", jobs=1)
    kept = reduced.value.reduced
    assert kept is not None
    assert len(kept.manifest) < len(scanned.value)
    assert len(Manifest.read(folder / "r.parquet")) == len(kept.manifest)


@pytest.mark.parametrize("name", ["embed", "evaluate", "finetune", "reduce", "scan"])
def test_a_misspelt_setting_is_named(name: str, folder: Path) -> None:
    places = {"reduce": (folder / "m.parquet", folder / "x.parquet"), "scan": (folder, folder / "x.parquet")}
    words = places.get(name, (folder / "run", folder / "m.parquet", "x"))
    with pytest.raises(UsageError, match="no setting 'sead'|no setting 'jbos'.*did you mean 'jobs'"):
        COMMANDS[name](*words, **({"sead": 1} if name == "reduce" else {"jbos": 1}))
