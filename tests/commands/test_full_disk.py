"""A disk that is full or a folder that is none: every command says one sentence, and leaves nothing half made."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.data.prepare import prepare
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.evaluate.results import Results
from medcl.pretrain.run import pretrain
from tests.disks import on_read_only_disk, small_disk
from tests.evaluate import multimodal_run as joint_run
from tests.evaluate.made_results import make_results
from tests.pretrain.recipe import small


@pytest.fixture(scope="module")
def made(ecg_manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest, its store, a run and embeddings."""
    folder = tmp_path_factory.mktemp("made")
    manifest = Manifest.read(ecg_manifest_path)
    manifest.write(folder / "ecg.parquet")
    prepare(manifest, small().inputs["signal"].data, folder / "ecg.store", jobs=1)
    pretrain(small(steps=1), manifest, folder / "ecg.store", folder / "run")
    config = EmbedConfig(level="record", jobs=1)
    embed_manifest(folder / "run", manifest, config, folder / "ecg.store", folder / "e.parquet")
    make_results(repeats=2).save(folder / "results.json")
    assert main([*_finetune(folder, folder / "evaluated-run"), "--protocols", "probe", "--baselines", "none"]) == 0
    pairs = joint_run.archive(folder / "pictures", patients=12)
    pairs.write(folder / "joint.parquet")
    joint_run.trained(folder / "joint", pairs, folder / "joint.store", steps=1)
    # What they keep for the next call is there, so that it is their own files that a full disk does not take.
    assert main(_joint(folder, "evaluate", "--bootstrap", "20", "-o", str(folder / "evaluated"))) == 0
    assert main(["retrieve", "--embeddings", str(folder / "e.parquet"), "--record", _record(folder)]) == 0
    return folder


def _joint(made: Path, command: str, *words: str) -> list[str]:
    return [command, str(made / "joint"), "--manifest", str(made / "joint.parquet"), "--jobs", "1", *words]


def _finetune(made: Path, output: Path) -> list[str]:
    words = ["finetune", made / "run", "--manifest", made / "ecg.parquet", "--target", "diagnosis", "--labels", "100%"]
    few = ["--repeats", "1", "--protocols", "knn", "--bootstrap", "20", "--jobs", "1"]
    return [str(word) for word in (*words, *few, "-o", output)]


def _record(made: Path) -> str:
    return str(pq.read_table(made / "e.parquet")["record_id"][0])


COMMANDS: dict[str, Callable[[Path, Path, Path], list[str]]] = {
    "phantom": lambda made, ecg, out: ["phantom", str(out), "--ecg-patients", "1", "--eeg-subjects", "0"],
    "phantom of volumes": lambda made, ecg, out: (
        ["phantom", str(out), "--ecg-patients", "0", "--eeg-subjects", "0", "--mr-patients", "1"]
    ),
    "scan": lambda made, ecg, out: (
        ["scan", str(ecg), "--patient-per-record", "--jobs", "1", "-o", str(out / "m.parquet")]
    ),
    "split": lambda made, ecg, out: ["split", str(made / "ecg.parquet"), "-o", str(out / "m.parquet")],
    "reduce": lambda made, ecg, out: (
        [
            "reduce",
            str(made / "ecg.parquet"),
            "--by",
            "entropy",
            "--keep",
            "50%",
            "--jobs",
            "1",
            "-o",
            str(out / "r.parquet"),
        ]
    ),
    "embed": lambda made, ecg, out: (
        ["embed", str(made / "run"), "--manifest", str(made / "ecg.parquet"), "-o", str(out / "e.parquet")]
    ),
    "finetune": lambda made, ecg, out: _finetune(made, out),
    "predict": lambda made, ecg, out: (
        [
            "predict",
            str(made / "evaluated-run" / "models" / "pretrained-probe-repeat-1"),
            "--manifest",
            str(made / "ecg.parquet"),
            "--jobs",
            "1",
            "-o",
            str(out / "p.parquet"),
        ]
    ),
    "evaluate": lambda made, ecg, out: _joint(made, "evaluate", "--bootstrap", "20", "-o", str(out)),
    "evaluate, no pictures": lambda made, ecg, out: _joint(
        made, "evaluate", "--bootstrap", "20", "--pictures", "0", "-o", str(out)
    ),
    "retrieve a picture": lambda made, ecg, out: _joint(
        made, "retrieve", "--text", "vertical stripes", "-o", str(out / "found.png")
    ),
    "retrieve a page": lambda made, ecg, out: _joint(
        made, "retrieve", "--text", "vertical stripes", "-o", str(out / "found.html")
    ),
    "retrieve by an index": lambda made, ecg, out: (
        ["retrieve", "--embeddings", str(made / "e.parquet"), "--record", _record(made), "-o", str(out / "found.png")]
    ),
    "compare": lambda made, ecg, out: ["compare", str(made / "results.json"), "-o", str(out / "page.html")],
    "explore": lambda made, ecg, out: (
        [
            "explore",
            str(made / "e.parquet"),
            "--projection",
            "pca",
            "--thumbnails",
            "none",
            "-o",
            str(out / "page.html"),
        ]
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("disk", ["full", "none"])
def test_a_command_says_one_sentence_and_leaves_nothing(
    made: Path, phantom_archive: Path, tmp_path: Path, name: str, disk: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    if disk == "none":
        output.write_text("a file in the place of the folder")
    before = sorted(made.rglob("*"))
    words = COMMANDS[name](made, phantom_archive / "ecg", output)
    with small_disk(0 if disk == "full" else 1 << 30):
        code = main(words)
    error = capsys.readouterr().err
    assert code in (1, 2), error
    assert "cannot be" in error
    assert len(error.strip().splitlines()) == 1, error
    assert "Errno" not in error
    assert not [one for one in tmp_path.rglob("*") if "draft" in one.name or "partial" in one.name]
    assert not [one for one in made.rglob("*") if one not in before and "draft" in one.name]


@pytest.mark.parametrize("command", ["evaluate", "retrieve"])
def test_embeddings_that_cannot_be_kept_are_one_sentence(
    made: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("joint.parquet", "joint.store", "joint"):
        copy = shutil.copytree if (made / name).is_dir() else shutil.copyfile
        copy(made / name, tmp_path / name)
    kept = list((tmp_path / "joint.store").glob("embeddings-*.npz"))
    assert kept
    for one in kept:
        one.unlink()
    words = {"evaluate": ["--bootstrap", "20"], "retrieve": ["--text", "left"]}[command]
    with small_disk(0):
        code = main(_joint(tmp_path, command, *words))
    error = capsys.readouterr().err
    assert code == 1, error
    assert len(error.strip().splitlines()) == 1, error
    assert "cannot be written" in error
    assert "joint.store" in error
    assert not list(tmp_path.rglob("*.medcl-draft"))
    assert not list(tmp_path.rglob("embeddings-*"))


def test_an_evaluation_that_a_disk_takes_in_part_leaves_whole_files(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(2**18):
        code = main(_joint(made, "evaluate", "--bootstrap", "20", "-o", str(tmp_path)))
    error = capsys.readouterr().err
    assert code == 1, error
    assert len(error.strip().splitlines()) == 1, error
    assert "report.html: cannot be written" in error
    written = {one.relative_to(tmp_path).parts[0] for one in tmp_path.rglob("*") if one.is_file()}
    assert written == {"grounding", "results.json"}
    assert Results.load(tmp_path / "results.json").splits["test"].per_class == {"images": 6, "reports": 6}


def test_a_read_only_disk_is_one_sentence(made: Path, phantom_archive: Path, tmp_path: Path) -> None:
    names = ["evaluate", "retrieve a picture", "retrieve a page", "retrieve by an index", "explore", "compare"]
    calls = [COMMANDS[name](made, phantom_archive / "ecg", tmp_path) for name in names]
    done = on_read_only_disk(tmp_path, calls)
    if done is None:
        pytest.skip("this user may mount no file system")
    codes, lines = done
    assert codes == [1] * len(calls), lines
    assert len(lines) == len(calls), lines
    for words, line in zip(calls, lines, strict=True):
        assert line.startswith(f"medcl {words[0]}: {tmp_path}/")
        assert line.endswith("cannot be written: the file system is read-only")


def test_a_store_says_it_too(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Manifest.read(made / "ecg.parquet").write(tmp_path / "m.parquet")
    with small_disk(0):
        code = main(["prepare", "--manifest", str(tmp_path / "m.parquet"), "--method", "comet", "--jobs", "1"])
    error = capsys.readouterr().err
    assert code == 1
    assert "the store cannot be written" in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("partial*"))


def test_a_run_folder_that_cannot_be_made_is_one_sentence(ecg_manifest: Manifest, made: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(runs.MedclError, match=r"run: cannot be written: it is already there"):
        pretrain(small(steps=1), ecg_manifest, made / "ecg.store", tmp_path / "run")
