"""Small sound files that a user writes: tables of labels, cards, recipes, prompts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medcl.archive import card
from medcl.archive.table import read_table
from medcl.commands.recipes import recipe
from medcl.evaluate.zero_shot import read_prompts

ROOT = Path(__file__).parents[2]
ROWS = [
    {"record": f"p{row}/a.edf", "patient": row, "age": 40.5 + row, "sex": "fm"[row % 2], "seen": row != 2}
    for row in range(6)
]


def text_table(separator: str, suffix: str) -> Callable[[Path], object]:
    lines = [separator.join(ROWS[0]), *(separator.join(map(str, row.values())) for row in ROWS)]
    return lambda folder: (folder / f"t{suffix}").write_text("\n".join([*lines, f'"a{separator}b"' + separator * 4]))


def shipped(path: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copy(ROOT / path, folder / "a.yaml")


def one(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Reads the one file of a folder."""
    return lambda folder: read(next(folder.iterdir()))


def table(path: Path) -> Any:
    found = read_table(path)
    return {name: found.column(name) for name in found.columns}


TEXTS: dict[str, tuple[Callable[[Path], object], Callable[[Path], Any]]] = {
    "table csv": (text_table(",", ".csv"), one(table)),
    "table tsv": (text_table("\t", ".tsv"), one(table)),
    "table json": (lambda folder: (folder / "t.json").write_text(json.dumps(ROWS)), one(table)),
    "table jsonl": (
        lambda folder: (folder / "t.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS)),
        one(table),
    ),
    "table parquet": (lambda folder: pq.write_table(pa.Table.from_pylist(ROWS), folder / "t.parquet"), one(table)),
    "card": (shipped("datasets/ptbxl.yaml"), one(card.load)),
    "card of volumes": (shipped("datasets/brats2013.yaml"), one(card.load)),
    "recipe": (shipped("pipelines/ecg_comet.yaml"), one(recipe)),
    "recipe of volumes": (shipped("pipelines/mri_global_local.yaml"), one(recipe)),
    "recipe of pairs": (shipped("pipelines/image_report_convirt.yaml"), one(recipe)),
    "prompts": (shipped("pipelines/prompts/ptbxl.yaml"), one(read_prompts)),
}
