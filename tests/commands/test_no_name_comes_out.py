"""Every command over archives that are full of one name: none of it is in what they write or say."""

import base64
import gzip
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, PngImagePlugin

from medcl import runs
from medcl.cli import main
from medcl.phantom import ct as chest
from tests.commands import planted
from tests.evaluate.multimodal_run import IMAGE
from tests.pretrain import multimodal_recipe as joint_recipe
from tests.pretrain import recipe, volume_recipe

TABLE = ["--record-column", "record", "--patient-column", "patient"]
PROTOCOLS = ["--protocols", "probe", "knn", "finetune", "--finetune.steps", "2"]
FINDING = planted.FINDING.lower().encode()
FEW = ["--repeats", "1", "--bootstrap", "20", "--jobs", "1"]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def medcl(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


def explored(out: Path, run: str, *, pictures: bool = True) -> None:
    """Embeddings at every level, their page with all its pictures, and what their index finds."""
    for level in ("window", "record", "patient"):
        medcl(
            "embed", out / run, "--manifest", out / "m.parquet", "-o", out / f"{run}-{level}.parquet", "--level", level
        )
    file = out / f"{run}-record.parquet"
    unusual, near = out / f"{run}-unusual.png", out / f"{run}-near.png"
    words = ["explore", file, "--projection", "pca", "tsne", "--write-xy", "-o", out / f"{run}.html"]
    medcl(*words, *(["--unusual", unusual] if pictures else []))
    record = pq.read_table(file)["record_id"][0].as_py()
    words = ["retrieve", "--embeddings", file, "--record", record, "--other-patients"]
    medcl(*words, *(["-o", near] if pictures else []))


def trained(out: Path, name: str, config: Any) -> None:
    (out / f"{name}.yaml").write_text(config.as_yaml())
    words = ["--manifest", out / "m.parquet", "--config", out / f"{name}.yaml"]
    medcl("prepare", *words, "--jobs", "1")
    medcl("pretrain", *words, "-o", out / name)


def measured(out: Path, run: str, target: str, *words: str) -> None:
    folder = out / f"{run}-{target}"
    medcl("finetune", out / run, "--manifest", out / "m.parquet", "--target", target, "-o", folder, *FEW, *words)
    (model,) = (folder / "models").iterdir()
    medcl("predict", model, "--manifest", out / "m.parquet", "-o", folder / "predictions.parquet", "--jobs", "1")
    medcl("compare", folder, "-o", folder / "compare.html")


def reduced(out: Path, by: str) -> None:
    words = ["reduce", out / "m.parquet", "--by", by, "--split", "all", "--jobs", "1"]
    medcl(*words, "--threshold", "0.001", "-o", out / "reduced.parquet")
    medcl(*words, "--report", out / "redundant.html")
    medcl(*words, "--leaks", "--report", out / "leaks.html")


def asked(out: Path, *sheets: Path) -> None:
    """What an encoder of several modalities is worth, and what it finds."""
    words = [out / "joint", "--manifest", out / "m.parquet", "--jobs", "1"]
    medcl("evaluate", *words, "--bootstrap", "20", "-o", out / "joint-evaluated")
    medcl("retrieve", *words, "--text", "a normal finding", "-k", "5")
    for sheet in sheets:
        medcl("retrieve", *words, "--text", "a normal finding", "-k", "5", "-o", sheet)


def ecg(archive: Path, out: Path) -> None:
    texts = ["--report-column", "HISTORY=history", "FINDINGS=findings", "IMPRESSION=impression"]
    reports = ["--reports", archive / "reports" / "ecg" / "reports.csv", *texts, "--report-key", "record"]
    labels = ["--labels", archive / "ecg" / "labels.csv", *TABLE, "--target-columns", "diagnosis", "age:regression"]
    split = ["--fractions", "0.5", "0.25", "0.25", "--jobs", "1"]
    medcl("scan", archive / "ecg", "-o", out / "m.parquet", *labels, *reports, *split)
    medcl("split", out / "m.parquet", "--folds", "3", "-o", out / "folds.parquet")
    reduced(out, "correlation")
    trained(out, "comet", recipe.small(2))
    explored(out, "comet")
    measured(out, "comet", "diagnosis", "--labels", "100%", *PROTOCOLS)
    inputs = {"signal": joint_recipe.SIGNAL, "report": joint_recipe.REPORT}
    pair = {"pair": {**joint_recipe.PAIR, "between": list(inputs)}}
    trained(out, "joint", joint_recipe.small(2, pair, inputs))
    asked(out)


def eeg(archive: Path, out: Path) -> None:
    labels = ["--labels", archive / "eeg" / "labels.csv", "--record-column", "record", "--patient-column", "subject"]
    medcl("scan", archive / "eeg", "-o", out / "m.parquet", *labels, "--target-columns", "group", "--jobs", "1")
    data = {"sampling_rate": 100, "channels": ["Fp1", "O2", "Cz"]}
    trained(out, "comet", recipe.small(2, inputs={"signal": {"data": data}}, batch={"patients": 2}))
    explored(out, "comet")


def xray(archive: Path, out: Path) -> None:
    labels = ["--labels", archive / "xray" / "labels.csv", "--record-column", "record", "--target-columns", "lesion"]
    split = ["--fractions", "0.5", "0.25", "0.25", "--jobs", "1"]
    reports = ["--reports", "reports/xray/**/*.dcm", "--images", "all"]
    medcl("scan", archive, "-o", out / "m.parquet", *labels, *split, *reports)
    trained(out, "joint", joint_recipe.small(2, inputs={"image": IMAGE, "report": joint_recipe.REPORT}))
    asked(out, out / "found.png", out / "found.html")
    explored(out, "joint", pictures=False)


def mr(archive: Path, out: Path) -> None:
    scan = ["scan", archive / "mr", "--card", archive / "mr.yaml", "-o", out / "m.parquet", "--jobs", "1"]
    medcl(*scan, "--fractions", "4", "2", "2")
    volumes(out, volume_recipe.staged(optimiser={"steps": 1}))


def ct(archive: Path, out: Path) -> None:
    labels = ["--labels", archive / "ct" / "labels.csv", "--record-column", "record", "--target-columns", "lesion"]
    ids = ["--id-pattern", "^(?P<patient>[^/]+)/(?P<study>[^/]+)/"]
    masks = [*ids, "--masks", "../masks/ct/{patient}/{study}.nii.gz", "--mask-classes", "background", *chest.STRUCTURES]
    scan = ["scan", archive / "ct", "-o", out / "m.parquet", "--jobs", "1", "--fractions", "4", "2", "2"]
    medcl(*scan, *labels, *masks)
    data = {"volume": {"data": {"size": [16, 1, 8], "irregular": "keep"}}}
    volumes(out, volume_recipe.of({"global": volume_recipe.G_D}, inputs=data, optimiser={"steps": 1}))


def volumes(out: Path, config: Any) -> None:
    reduced(out, "hash")
    trained(out, "global-local", config)
    explored(out, "global-local")
    measured(out, "global-local", "lesion", "--labels", "100%", *PROTOCOLS)
    words = ["--labels", "1", "--segment.iterations", "2", "--segment.validation_volumes", "1", "--save-masks"]
    measured(out, "global-local", "mask", *words)


COMMANDS: dict[str, Callable[[Path, Path], None]] = {"ecg": ecg, "eeg": eeg, "xray": xray, "mr": mr, "ct": ct}


@pytest.mark.parametrize("kind", COMMANDS)
def test_no_name_comes_out(
    kind: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    planted.WRITERS[kind](archive)
    out.mkdir()
    before = sorted(archive.rglob("*"))
    caplog.clear()
    recwarn.clear()
    capfd.readouterr()

    COMMANDS[kind](archive, out)

    told = [*capfd.readouterr(), caplog.text, *(str(one.message) for one in recwarn)]
    assert sorted(archive.rglob("*")) == before
    assert len(told[0]) > 1000
    texts = [("said", "\n".join(told).lower().encode()), *planted.said(out)]
    found = [
        (place, word, text[max(0, text.find(word.encode()) - 80) :][:200])
        for place, text in texts
        for word in (*planted.WORDS, planted.PLACE)
        if word.encode() in text and not (word == planted.PLACE and place.rpartition("column ")[2] in planted.PATHS)
    ]
    assert found == []
    assert open_to_others(out) == []


def open_to_others(folder: Path) -> list[str]:
    """Files with a word of the reports that others than their owner can read, weights with a vocabulary apart."""
    found = []
    for path in (one for one in folder.rglob("*") if one.is_file() and one.name != runs.WEIGHTS):
        ways = [path, *(one for one in path.parents if one.is_relative_to(folder))]
        texts = (text for _, text in planted.file_texts(path))
        if all(one.stat().st_mode & 0o044 for one in ways) and any(FINDING in text for text in texts):
            found.append(path.name)
    return found


PACKED: dict[str, Callable[[Path], object]] = {
    "plain": lambda path: path.write_text(planted.PERSON),
    "utf-16": lambda path: path.write_text(planted.PERSON, encoding="utf-16"),
    "name": lambda path: path.with_name(planted.PERSON).write_text(""),
    "npz": lambda path: np.savez_compressed(path.with_suffix(".npz"), a=np.array([planted.PERSON])),
    "checkpoint": lambda path: torch.save({"a": planted.PERSON}, path),
    "gzip": lambda path: path.write_bytes(gzip.compress(planted.PERSON.encode())),
    "parquet": lambda path: pq.write_table(pa.table({"a": [[planted.PERSON]]}), path, compression="zstd"),
    "parquet's metadata": lambda path: pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(NAMED), path),
    "page": lambda path: path.write_bytes(b"<!doctype html><html>" + base64.b64encode(zipped(planted.PERSON))),
}
NAMED = {"about": planted.PERSON}


def zipped(text: str) -> bytes:
    """A picture with a packed text."""
    texts, content = PngImagePlugin.PngInfo(), io.BytesIO()
    texts.add_text("Comment", text, zip=True)
    Image.new("L", (9, 9)).save(content, "png", pnginfo=texts)
    return content.getvalue()


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_packed_is_looked_into(kind: str, tmp_path: Path) -> None:
    PACKED[kind](tmp_path / "file")
    assert any(word.encode() in text for _, text in planted.said(tmp_path) for word in planted.WORDS)
