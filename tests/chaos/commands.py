"""The commands that are killed: what each needs, how it is called, and what counts of its result."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Loaded before the first fork, so that no trial waits for them.
import blosc2  # noqa: F401
import jsonargparse  # noqa: F401
import pyarrow.dataset  # noqa: F401
import pyarrow.parquet as pq
import scipy.stats  # noqa: F401
import sklearn.linear_model  # noqa: F401
import tensorboard.summary.writer.record_writer  # noqa: F401
import torch
import wfdb  # noqa: F401
import yaml

import medcl.engine.fabric  # noqa: F401
from medcl.archive.manifest import Manifest
from medcl.data.store import open_store
from medcl.files import file_checksum

torch.set_num_threads(1)
_RECIPE = {
    "data": {"window": 2.0, "stride": 1.0},
    "batch": {"patients": 4, "trials": 2, "samples": 2},
    "encoder": {"name": "resnet", "dim": 16, "hidden": 8, "depth": 3, "stride": 8},
    "comet": {"identity": "pooled"},
    "optimiser": {"steps": 60},
    "hardware": {"checkpoint_every": 10, "workers": 1},
}


@dataclass(frozen=True)
class Step:
    """A command that is killed.

    Args:
        name: of the command.
        needs: files and folders of the undisturbed run that it starts from.
        words: of the command, for a folder.
        content: what has to be equal, read from a folder.
        resume: words that are added when it is called again.
    """

    name: str
    needs: tuple[str, ...]
    words: Callable[[Path], list[str]]
    content: Callable[[Path], Any]
    resume: tuple[str, ...] = ()

    def first(self, folder: Path) -> list[str]:
        """The words of the first call."""
        return self.words(folder)

    def again(self, folder: Path) -> list[str]:
        """The words after a kill; a run that was killed before its folder was made is no run to resume."""
        there = (folder / "run" / ".lock").exists() or (folder / "run" / "recipe.yaml").exists()
        return [*self.words(folder), *(self.resume if there else ())]


def _phantom(folder: Path) -> list[str]:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(_RECIPE))
    return ["phantom", str(folder / "archive"), "--ecg-patients", "24", "--eeg-subjects", "0"]


def _scan(folder: Path) -> list[str]:
    # One archive for all trials, so that paths and times of modification are the same.
    ecg = folder.parent / "base" / "archive" / "ecg"
    columns = "--record-column record --patient-column patient --target-columns diagnosis --fractions 0.5 0.25 0.25"
    words = ["scan", str(ecg), "--labels", str(ecg / "labels.csv"), *columns.split()]
    return [*words, "--jobs", "2", "-o", str(folder / "ecg.parquet")]


def _on_manifest(name: str, *words: str) -> Callable[[Path], list[str]]:
    return lambda folder: [
        name,
        *(word.replace("FOLDER", str(folder)) for word in words),
        "--manifest",
        str(folder / "ecg.parquet"),
    ]


def _table(name: str) -> Callable[[Path], Any]:
    return lambda folder: pq.read_table(folder / name).to_pydict()


def _manifest(folder: Path) -> Any:
    manifest = Manifest.read(folder / "ecg.parquet")
    about = {key: value for key, value in manifest.metadata.items() if key != "scan"}
    # Whether the split is that of an earlier manifest: of one that was written right before the kill it is.
    about["split"].pop("kept")
    return manifest.table.to_pydict(), about


def _store(folder: Path) -> Any:
    parts = [one for one in (folder / "ecg.store").iterdir() if (one / "index.parquet").is_file()]
    # What is read: several threads compress, and may put blocks in another order.
    stores = [open_store(one, "signal") for one in parts]
    return {one.folder.name: [one.read(record).tobytes() for record in range(len(one))] for one in stores}


def _run(folder: Path) -> Any:
    rows = [line.split(",")[:-1] for line in (folder / "run" / "metrics.csv").read_text().splitlines()]
    return file_checksum(folder / "run" / "encoder.safetensors"), rows


def _results(folder: Path) -> Any:
    found = json.loads((folder / "results" / "results.json").read_text())
    # When, where, and the checksum of both.
    return {name: value for name, value in found.items() if name not in ("created", "run", "crc32")}


def _reduced(folder: Path) -> Any:
    return Manifest.read(folder / "reduced.parquet").table.to_pydict(), _table("reduced.dropped.parquet")(folder)


def _embeddings(folder: Path) -> Any:
    return pq.read_table(folder / "embeddings.parquet").to_pydict()


PREPARED = (Step("phantom", (), _phantom, lambda folder: None),)
STEPS = (
    Step("scan", (), _scan, _manifest),
    Step("prepare", ("ecg.parquet", "recipe.yaml"), _on_manifest("prepare", "--config", "FOLDER/recipe.yaml"), _store),
    Step(
        "pretrain",
        ("ecg.parquet", "ecg.store", "recipe.yaml"),
        _on_manifest("pretrain", "--config", "FOLDER/recipe.yaml", "-o", "FOLDER/run"),
        _run,
        resume=("--resume",),
    ),
    Step(
        "reduce",
        ("ecg.parquet",),
        lambda folder: [
            *("reduce", str(folder / "ecg.parquet"), "--by", "correlation", "--keep", "50%", "--jobs", "2"),
            *("-o", str(folder / "reduced.parquet")),
        ],
        _reduced,
    ),
    Step(
        "embed",
        ("ecg.parquet", "ecg.store", "run"),
        _on_manifest("embed", "FOLDER/run", "--level", "window", "-o", "FOLDER/embeddings.parquet"),
        _embeddings,
    ),
    Step(
        "finetune",
        ("ecg.parquet", "ecg.store", "run"),
        _on_manifest(
            *("finetune", "FOLDER/run", "--target", "diagnosis", "--labels", "100%", "--repeats", "2"),
            *("--protocols", "probe", "knn", "--bootstrap", "100", "--jobs", "2", "-o", "FOLDER/results"),
        ),
        _results,
    ),
)
