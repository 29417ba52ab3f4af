"""The page of schemas names every column and key that is written."""

import re
from dataclasses import fields

import pyarrow as pa

from medcl import runs
from medcl.archive.schema import KEPT, SCHEMA, SCHEMA_VERSION
from medcl.embed.metadata import COLUMNS, VERSION, EmbeddingsMetadata
from tests.site.pages import DOCS

PAGE = (DOCS / "reference" / "files.md").read_text(encoding="utf-8")
NAMED = {name for cell in re.findall(r"^\| (`[^|]+`) \|", PAGE, re.M) for name in re.findall(r"`([^`]+)`", cell)}
TYPES = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "double"}


def test_columns_of_a_manifest() -> None:
    assert {*SCHEMA.names, KEPT} <= NAMED
    assert f"version {SCHEMA_VERSION} of the schema" in PAGE
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", PAGE, re.M))
    for field in SCHEMA:
        if field.name in rows and not pa.types.is_list(field.type):
            assert rows[field.name] == TYPES[field.type], field.name


def test_columns_and_metadata_of_embeddings() -> None:
    assert {*COLUMNS, *(one.name for one in fields(EmbeddingsMetadata))} <= NAMED
    assert f"`version` ({VERSION})" in PAGE


def test_files_of_a_run() -> None:
    assert {runs.WEIGHTS, runs.CONFIG, runs.METRICS, runs.MONITOR, runs.PATIENTS, runs.ENVIRONMENT} <= NAMED
    assert runs.CHECKPOINT in NAMED
