"""The model card of a run folder: what it counts, when it is written again, and what of it is the user's."""

import json
from pathlib import Path

import numpy as np
import pytest

import medcl
from medcl import run_card, runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.run_card import BEGIN, CARD, END
from medcl.runs import PATIENTS
from tests.pretrain.test_run import small


@pytest.fixture(scope="module")
def run(ecg_manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as the command trains it, with its manifest beside it."""
    folder = tmp_path_factory.mktemp("card")
    manifest = Manifest.read(ecg_manifest_path)
    card = {"name": "phantom", "version": "1", "source": "made", "licence": "CC0 1.0", "citation": "Nobody"}
    (folder / "m.parquet").parent.mkdir(exist_ok=True)
    Manifest(manifest.table, manifest.root, {**manifest.metadata, "dataset": card}).write(folder / "m.parquet")
    recipe = small(steps=4)
    (folder / "recipe.yaml").write_text(recipe.as_yaml())
    words = ["pretrain", "--manifest", folder / "m.parquet", "--config", folder / "recipe.yaml", "-o", folder / "run"]
    assert main([*map(str, words), "--monitor.every", "2"]) == 0
    return folder / "run"


def text_of(run: Path) -> str:
    return (run / CARD).read_text(encoding="utf-8")


def test_a_new_run_tells_its_data_recipe_and_curves(run: Path) -> None:
    manifest = Manifest.read(run.parent / "m.parquet")
    rows = manifest.split_rows("train")
    text = text_of(run)
    assert f"{len(np.unique(manifest.column('patient')[rows]))} patients" in text
    seconds = manifest.column("n_samples")[rows] / manifest.column("sampling_rate")[rows]
    assert f"hours          {seconds.sum() / 3600:.2f}" in text
    assert "Licence: **CC0 1.0**" in text
    assert "| patient | contrast |" in text
    assert "On validation patients, 2 of 2 looks" in text
    assert "Not measured yet: `medcl finetune" in text
    assert "Not measured: site, device, sex, age." in text
    assert "*to be filled in*" in text.partition(BEGIN)[2].partition(END)[0]
    for patient in np.unique(manifest.column("patient")):
        assert str(patient) not in text
    for line in (run / PATIENTS).read_text().splitlines()[1:]:
        assert line not in text


def test_an_evaluation_and_confounders_come_in_and_the_users_words_stay(run: Path) -> None:
    own = "Intended use: to find *rhythms* of | adults.\n\n\n```\nmine\n```"
    before = text_of(run)
    start, _, rest = before.partition(BEGIN)
    (run / CARD).write_text(f"{start}{BEGIN}\n{own}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    few = ["--labels", "100%", "--protocols", "probe", "--repeats", "1", "--bootstrap", "10", "--jobs", "1"]
    words = ["finetune", run, "--manifest", run.parent / "m.parquet", "--target", "sex", "--baselines", "none"]
    assert main([*map(str, words), *few]) == 0
    text = text_of(run)
    assert own in text
    results = json.loads((run / "eval" / "sex" / "latest" / "results.json").read_text())
    row = next(one for one in results["summary"] if one["metric"] == "auroc" and one["arm"] == "pretrained")
    assert f"| probe | pretrained | {row['mean']:.3f} (" in text
    assert "Not measured yet" not in text
    medcl.embed(run, run.parent / "m.parquet", run / "embeddings.parquet", jobs=1)
    page = medcl.explore(run / "embeddings.parquet", projection="pca", thumbnails=0)
    assert "model card with the confounders" in page.text
    text = text_of(run)
    assert own in text
    assert "| age | R2 | " in text
    assert "no such column with enough patients: site, device, sex." in text
    assert text.count(BEGIN) == text.count(END) == 1
    (run / "eval" / "age" / "latest").mkdir(parents=True)
    (run / "eval" / "age" / "latest" / "results.json").write_text("{")
    run_card.write(run)
    assert "eval/age/latest/results.json: damaged" in text_of(run)
    assert "### sex" in text_of(run)


def test_a_card_without_the_marks_is_the_users(run: Path) -> None:
    kept = text_of(run)
    (run / CARD).write_text("My own card", encoding="utf-8")
    run_card.write(run)
    assert text_of(run) == "My own card"
    (run / CARD).unlink()
    run_card.write(run)
    assert BEGIN in text_of(run)
    (run / CARD).write_text(kept, encoding="utf-8")


def test_a_run_from_before_there_were_cards_says_what_is_not_known(tmp_path: Path) -> None:
    runs.start(tmp_path, {"method": "none"}, runs.SeenPatients.of([1, 2], "tests"))
    run_card.write(tmp_path)
    assert "2 patients. " in text_of(tmp_path)
    assert "was not kept" in text_of(tmp_path)
