"""Tables from files to what their encoder is worth, as a user goes."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
import torch

import medcl
from medcl import runs
from medcl.contrast import info_nce, same
from medcl.data.prepare import prepare
from medcl.modality import wing
from medcl.modality.table.config import TableConfig, TableEncoderConfig, TableViewsConfig
from medcl.modality.table.formats.tables import read_tables
from tests.modality.table.laboratory import write_laboratory, write_stays

CPU = {"accelerator": "cpu"}
WIDE = {
    "method": "simclr",
    "table": {"views": {"mix": 0.3, "noise": 0.1}, "encoder": {"dim": 16, "hidden": 32}},
    "batch": {"patients": 8},
    "optimiser": {"steps": 20},
    "hardware": CPU,
}


def scanned(archive: Path, labels: Path, column: str, target: str, **settings: Any) -> Any:
    output = archive.parent / "m.parquet"
    return medcl.scan(
        archive, output, labels=str(labels), patient_column=column, target_columns=(target,), jobs=1, **settings
    )


def auroc(run: Any, manifest: Any, target: str) -> float:
    found = medcl.finetune(
        run, manifest, target, labels=["100%"], protocols=["probe"], repeats=1, repeats_full=1, bootstrap=20, jobs=1
    ).value
    return found.find("probe", "pretrained", "100%", found.metric).mean


def test_laboratory_values_with_the_joint_recipe(tmp_path):
    phantom = write_laboratory(tmp_path, 80)
    manifest = scanned(phantom.folder, phantom.labels, "patient_id", "infection")

    run = medcl.pretrain(WIDE, manifest, tmp_path / "run")

    assert auroc(run, manifest, "infection") > 0.85
    embedded = medcl.embed(run, manifest, tmp_path / "e.parquet", jobs=1)
    assert embedded.value.vectors().shape == (80, 16)
    frame = pyarrow.csv.read_csv(phantom.folder / "laboratory.csv")
    about = json.loads((phantom.folder / "laboratory.json").read_text(encoding="utf-8"))
    for x in (frame, frame.to_pandas()):
        np.testing.assert_allclose(medcl.load(run).embed(x, about=about), embedded.value.vectors(), atol=1e-6)
    card = runs.load(tmp_path / "run").card
    training = manifest.value.column("split") == "train"
    values = [table.values[0, 2] for table in read_tables(phantom.folder / "laboratory.csv")]
    # The scale is that of the training patients alone.
    expected = [np.nanmean(np.array(values)[training]), np.nanstd(np.array(values)[training])]
    np.testing.assert_allclose(card.data["scale"]["CRP"], expected)
    reduced = medcl.reduce(
        manifest, tmp_path / "r.parquet", by="embedding", run=str(run.path), keep="50%", scope="archive", jobs=1
    )
    assert len(reduced.value.reduced.manifest) == 80 - training.sum() // 2
    page = medcl.explore(embedded.value, output=tmp_path / "e.html", projection=("pca",))
    assert "data:image/png" in page.value.read_text()


def test_stays_go_on_from_an_encoder(tmp_path):
    phantom = write_stays(tmp_path, 30, hours=12)
    manifest = scanned(phantom.folder, phantom.labels, "patient_id", "infection")
    encoder = {"name": "transformer", "dim": 16, "hidden": 32, "depth": 1}
    table = {"data": {"window": 12, "step": 2}, "views": {"value_dropout": 0.3, "mask": "binomial"}, "encoder": encoder}
    recipe = WIDE | {"table": table, "optimiser": {"steps": 3}}
    run = medcl.pretrain(recipe, manifest, tmp_path / "run")

    again = medcl.pretrain(recipe | {"table": table | {"init": str(tmp_path / "run")}}, manifest, tmp_path / "again")

    cards = [runs.load(Path(one)).card for one in (run, again)]
    assert cards[0].data == cards[1].data
    windows = medcl.embed(run, manifest, tmp_path / "e.parquet", level="window", jobs=1)
    assert windows.value.vectors().shape == (30, 16)


def test_a_loop_in_python(tmp_path):
    phantom = write_laboratory(tmp_path, 60)
    manifest = scanned(phantom.folder, phantom.labels, "patient_id", "infection").value
    own, config = wing("table"), TableConfig()
    store = prepare(manifest, config, tmp_path / "store", jobs=1)
    training = own.samples(store, manifest.select(manifest.column("split") == "train"), config)
    card = own.spec_of(TableEncoderConfig(dim=16, hidden=32), training.config, store, "table")
    torch.manual_seed(0)
    encoder, generator = own.encoder(card), torch.Generator().manual_seed(0)
    views = own.views(TableViewsConfig(mix=0.2, noise=0.1), training.config, store)
    optimiser = torch.optim.AdamW(encoder.parameters(), 1e-3)
    losses = []
    for _ in range(40):
        x = training.__getitems__(np.arange(len(training)))["x"]
        one, other = (encoder.embed(views.apply(x, views.draw(x, generator))) for _ in range(2))
        loss = info_nce(one, other, same(torch.arange(len(x))))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2
    test = own.samples(store, manifest.select(manifest.column("split") == "test"), own.data_of(card))
    assert encoder.eval().embed(test.__getitems__([0, 1])["x"]).isfinite().all()
    assert test.config == training.config


def test_what_cannot_be_prepared_is_in_quarantine(tmp_path):
    phantom = write_stays(tmp_path, 6, hours=12)
    other = phantom.folder / "P0002.txt"
    other.write_text(other.read_text().replace("CRP [mg/l]", "CRP [mg/dl]"))
    manifest = scanned(phantom.folder, phantom.labels, "patient_id", "infection").value
    changed = phantom.folder / "P0004.txt"
    changed.write_text(changed.read_text() + "11:00,CRP [mg/l],5\n")

    store = prepare(manifest, TableConfig(window=12), tmp_path / "store", jobs=1)

    assert len(store) == 4
    reasons = " ".join(store.quarantine.values())
    assert "in mg/dL here, in mg/L elsewhere" in reasons
    assert "changed" in reasons


def test_stays_of_physionet_and_genes_of_rosmap(tmp_path, real_data):
    stays = tmp_path / "stays" / "archive"
    stays.mkdir(parents=True)
    for file in sorted((real_data / "physionet2012" / "set-a").iterdir())[:60]:
        shutil.copy(file, stays)
    outcomes = shutil.copy(real_data / "physionet2012" / "Outcomes-a.txt", tmp_path / "outcomes.csv")
    data = {"window": 48, "step": 4, "categories": ["Gender", "ICUType"], "missing": {"Gender": [-1], "Height": [-1]}}
    recipe = WIDE | {"table": {"data": data, "encoder": {"dim": 16, "hidden": 32}}, "optimiser": {"steps": 2}}

    manifest = scanned(stays, Path(outcomes), "RecordID", "In-hospital_death")
    run = medcl.pretrain(recipe, manifest, tmp_path / "run")

    card = runs.load(Path(run)).card
    assert card.data["classes"] == {"Gender": ["0", "1"], "ICUType": ["1", "2", "3", "4"]}
    assert card.data["scale"]["Height"][0] > 150
    assert len(card.data["columns"]) > 35
    assert medcl.embed(run, manifest, tmp_path / "e.parquet", jobs=1).value.vectors().shape == (60, 16)

    rosmap, genes = real_data / "mogonet_rosmap" / "ROSMAP", tmp_path / "genes" / "archive"
    genes.mkdir(parents=True)
    values = np.concatenate([np.loadtxt(rosmap / f"1_{part}.csv", delimiter=",") for part in ("tr", "te")])
    labels = np.concatenate([np.loadtxt(rosmap / f"labels_{part}.csv") for part in ("tr", "te")])
    names = (rosmap / "1_featname.csv").read_text().split()
    lines = [f"R{i:03d}," + ",".join(f"{value:.9g}" for value in row) for i, row in enumerate(values)]
    (genes / "mrna.csv").write_text("\n".join([",".join(["id", *names]), *lines, ""]))
    (genes / "mrna.json").write_text(json.dumps({"medcl": {"patient": "id"}}))
    rows = [f"R{i:03d},{label:.0f}" for i, label in enumerate(labels)]
    (tmp_path / "genes.csv").write_text("\n".join(["id,alzheimer", *rows, ""]))

    manifest = scanned(genes, tmp_path / "genes.csv", "id", "alzheimer")
    run = medcl.pretrain(WIDE | {"optimiser": {"steps": 10}}, manifest, tmp_path / "of genes")

    assert len(runs.load(Path(run)).card.data["columns"]) == 200
    assert auroc(run, manifest, "alzheimer") > 0.6


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Small networks gain nothing from several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_recordings_and_laboratory_values_of_one_patient(phantom_archive, tmp_path):
    archive = tmp_path / "archive"
    shutil.copytree(phantom_archive / "ecg", archive)
    with (archive / "labels.csv").open() as file:
        patients = sorted({row["patient"] for row in csv.DictReader(file)})
    lines = [f"{patient},{i},{i % 3}" for i, patient in enumerate(patients)]
    (archive / "values.csv").write_text("\n".join(["patient,CRP [mg/l],ward", *lines, ""]))
    (archive / "values.json").write_text('{"medcl": {"patient": "patient"}}')
    manifest = medcl.scan(archive, tmp_path / "m.parquet", id_pattern=r"(?P<patient>P\d+)/|damaged|values", jobs=1)
    recipe = {
        "method": "multimodal",
        "signal": {
            "data": {"sampling_rate": 50, "window": 2.0, "channels": ["I", "II"]},
            "encoder": {"dim": 8, "hidden": 8, "depth": 2},
        },
        "table": {"data": {"categories": ["ward"]}, "encoder": {"dim": 16, "hidden": 16}},
        "batch": {"patients": 4},
        "joint": {"hidden": 8, "projection": 8},
        "optimiser": {"steps": 2},
        "hardware": CPU,
    }

    run = medcl.pretrain(recipe, manifest, tmp_path / "run")

    assert set(runs.load(Path(run)).card.sides) == {"signal", "table"}
    embedded = medcl.embed(run, manifest, tmp_path / "e.parquet", kind="table", jobs=1)
    assert len(embedded.value.vectors()) == len(patients)
