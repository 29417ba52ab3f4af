"""`medcl evaluate` and `medcl retrieve` as a user calls them."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.evaluate import multimodal_space as joint_space
from medcl.evaluate.search import Archive
from medcl.evaluate.zero_shot import read_prompts
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import SignalCard
from tests.evaluate import multimodal_run as joint_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrieve")
    manifest = joint_run.archive(folder / "archive", patients=12)
    manifest.write(folder / "m.parquet")
    joint_run.trained(folder / "run", manifest, folder / "m.store", steps=2)
    (folder / "prompts.yaml").write_text(joint_run.PROMPTS)
    return folder


def medcl(folder: Path, command: str, *words: str) -> int:
    return main([command, str(folder / "run"), "--manifest", str(folder / "m.parquet"), "--jobs", "1", *words])


def test_evaluate_prints_tables_and_writes_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--prompts",
        str(folder / "prompts.yaml"),
        "--bootstrap",
        "20",
        "-o",
        str(folder / "out"),
        "--ranks",
        "1",
        "3",
    ]
    assert medcl(folder, "evaluate", *words) == 0
    printed = capsys.readouterr().out
    for part in (
        "recall@3",
        "median rank",
        "chance",
        "Zero-shot pattern",
        "Modality gap",
        f"report: {folder}/out/report.html",
    ):
        assert part in printed
    held = json.loads((folder / "out" / "results.json").read_text())["splits"]["test"]["per_class"]
    assert held == {"images": 6, "reports": 6}
    assert len(list((folder / "out" / "grounding").glob("*.png"))) == 6
    assert medcl(folder, "evaluate", *words) == 2
    assert "holds the results of another evaluation" in capsys.readouterr().err


def test_evaluations_are_kept_and_the_latest_is_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert medcl(folder, "evaluate", "--bootstrap", "5", "--images", "0") == 0
    home = folder / "run" / "eval" / "joint"
    kept = sorted(one.name for one in home.iterdir())
    assert [name[-2:] for name in kept[:2]] == ["-1", "-2"]
    assert (home / "latest" / "results.json").samefile(home / kept[1] / "results.json")
    assert main(["compare", str(folder / "run"), "--markdown"]) == 0
    assert "| Image to report: own report | chance | " in capsys.readouterr().out


def test_a_text_finds_pictures_and_a_sheet_shows_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = folder / "sheets" / "sheet.png"
    words = ["--text", "vertical stripes", "-k", "7", "-o", str(sheet)]
    assert medcl(folder, "retrieve", *words) == 0
    *lines, then = capsys.readouterr().out.splitlines()
    assert then.startswith("next: ")
    assert len([line for line in lines if "image-" in line]) == 7
    cosines = [float(line.split()[1]) for line in lines if "image-" in line]
    assert cosines == sorted(cosines, reverse=True)
    width, height = Image.open(io.BytesIO(sheet.read_bytes())).size
    assert width == 5 * 200 + 8
    assert height > 2 * 192


def test_a_split_limits_what_is_found_and_a_page_shows_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "sheet.html"
    assert medcl(folder, "retrieve", "--text", "lower <b>", "--split", "test", "-k", "99", "-o", str(page)) == 0
    found = [line.split()[2] for line in capsys.readouterr().out.splitlines()[:-1] if "image-" in line]
    assert sorted(found) == sorted(f"image-{number}" for number in range(18, 24))
    html = page.read_text()
    assert html.count("data:image/png;base64,") == 6
    assert "lower &lt;b&gt;" in html
    assert "Rank 1 is nearest. Cosine similarity" in html


def test_a_picture_finds_reports_and_a_report_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert medcl(folder, "retrieve", "--record", "image-3", "-k", "2", "-o", str(folder / "reports.html")) == 0
    printed = capsys.readouterr().out
    assert printed.count("The picture shows") == 2
    assert "The picture shows" in (folder / "reports.html").read_text()
    assert medcl(folder, "retrieve", "--record", "report-3", "-k", "2") == 0
    assert capsys.readouterr().out.count("image-") == 2
    assert medcl(folder, "retrieve", "--record", "image-3", "-k", "99", "--kind", "image") == 0
    assert "image-3 " not in capsys.readouterr().out.replace("\n", " ")


def found_records(printed: str) -> list[str]:
    return [line.split()[2] for line in printed.splitlines() if line.strip()[:1].isdigit()]


def test_a_query_has_what_is_looked_for_and_what_is_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--record", "image-0", "--near", "image-4", "--far", "image-2", "image-3", "--kind", "image", "-k", "99"]
    assert medcl(folder, "retrieve", *words) == 0
    found = found_records(capsys.readouterr().out)
    assert set(found) == {f"image-{number}" for number in range(24)} - {"image-0", "image-4", "image-2", "image-3"}
    assert medcl(folder, "embed", "--kind", "image", "-o", str(folder / "e.parquet")) == 0
    capsys.readouterr()
    words = ["--near", "image-4", "image-0", "--far", "image-3", "image-2", "-k", "99"]
    assert main(["retrieve", "--embeddings", str(folder / "e.parquet"), *words, "--kind", "image"]) == 0
    assert found_records(capsys.readouterr().out) == found
    words = ["--text", "stripes", "--and-text", "vertical", "--not-text", "checkerboard", "opacity", "-k", "3"]
    assert medcl(folder, "retrieve", *words, "-o", str(folder / "algebra.html")) == 0
    assert "stripes; vertical; not checkerboard; not opacity" in (folder / "algebra.html").read_text()
    assert main(["retrieve", str(folder / "run"), "--embeddings", str(folder / "e.parquet"), *words]) == 0
    both = found_records(capsys.readouterr().out)
    assert len(both) == 6
    assert both[:3] == both[3:]
    words = ["--text", "stripes", "--not-text", "opacity", "--near", "image-1", "--run", str(folder / "run")]
    words += ["--thumbnails", "0", "--projection", "pca", "-o", str(folder / "map.html")]
    assert main(["explore", str(folder / "e.parquet"), *words]) == 0
    assert "cosine with stripes; not opacity; near image-1" in (folder / "map.html").read_text()
    words = ["--far", "image-1"]
    assert main(["explore", str(folder / "e.parquet"), *words]) == 2


def test_a_second_query_computes_no_embedding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert medcl(folder, "retrieve", "--text", "left") == 0

    def embed(*words: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr(joint_space, "_embed", embed)
    assert medcl(folder, "retrieve", "--text", "right") == 0


LOADED = """
import sys
from medcl.cli import main
assert main([*sys.argv[1:], "--text", "left"]) == 0
assert main([*sys.argv[1:], "--record", "image-3", "--kind", "image"]) == 0
print("loaded:", *(name for name in ("monai", "transformers") if name in sys.modules))
"""


def test_a_second_query_does_not_even_import_what_encodes_images(folder: Path) -> None:
    assert medcl(folder, "retrieve", "--text", "left") == 0
    call = ["retrieve", str(folder / "run"), "--manifest", str(folder / "m.parquet")]
    done = subprocess.run([sys.executable, "-c", LOADED, *call], capture_output=True, text=True, check=True)
    assert done.stdout.count("rank") == 2
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_a_record_is_embedded_by_itself_and_not_kept(folder: Path, tmp_path: Path) -> None:
    run, store, own = folder / "run", tmp_path / "store", Manifest.read(folder / "m.parquet")
    before = Archive.open(run, own, store, jobs=1).by_record("image-3", 5)
    assert len(list(store.glob("embeddings-*.npz"))) == 1, "the reports"
    archive = Archive.open(run, own, store, jobs=1)
    archive.by_text("left", 1, "image")
    archive = Archive.open(run, own, store, jobs=1)
    found = archive.by_record("image-3", 5)
    assert not archive.run.encoder.sides
    assert [one.record_id for one in found] == [one.record_id for one in before]
    assert [one.similarity for one in found] == pytest.approx([one.similarity for one in before], abs=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--record", "image-999"], "the manifest has no such record"),
        (["--text", " "], "--text is empty"),
        (["--text", "left", "-k", "0"], "-k 0"),
        (["--text", "left", "--record", "image-1"], "give one of --text and --record"),
        (["--far", "image-1"], "give one of --text, --record and --near"),
        (["--text", "left", "--not-text", "left"], "'left' is both what is looked for and what is not"),
        (["--text", "left", "--split", "tset"], "the manifest has the splits test, train, val"),
        (["--text", "left", "--kind", "volume"], "the manifest has no volumes"),
        (["--text", "left", "-o", "sheet.gif"], "is a .png or an .html file"),
        (["--record", "image-1", "-o", "sheet.png"], "a contact sheet shows images, not reports"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medcl(folder, "retrieve", *words) == 2
    assert message in capsys.readouterr().err


def test_a_run_of_one_modality_has_nothing_to_compare(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = SignalCard(SignalEncoderConfig(dim=8), ("I",), 100.0, 2.0, "record")
    torch.manual_seed(0)
    runs.start(tmp_path / "run", {"method": "comet"}, runs.SeenPatients.of([], "tests"))
    runs.save_encoder(tmp_path / "run", card.build(), card)
    assert main(["evaluate", str(tmp_path / "run"), "--manifest", str(folder / "m.parquet")]) == 2
    assert "was pretrained on one modality" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["medpix2", "ptbxl"])
def test_shipped_prompts_are_of_the_classes_of_their_card(name: str) -> None:
    targets = yaml.safe_load((ROOT / "datasets" / f"{name}.yaml").read_text())["targets"]
    for prompts in read_prompts(ROOT / "pipelines" / "prompts" / f"{name}.yaml"):
        assert list(prompts.positive) == targets[prompts.target]["classes"]
        assert all(len(some) > 2 for some in prompts.positive.values())
        assert targets[prompts.target]["kind"] == "multilabel" or not prompts.negative
