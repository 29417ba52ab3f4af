"""YAML that somebody wrote is read in little time and memory, or refused by the file's name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl import runs
from medcl.archive import card
from medcl.archive.manifest import Manifest
from medcl.commands.recipes import recipe
from medcl.documents import parse_json, read_yaml
from medcl.embed.embeddings import EmbeddingsFile
from medcl.errors import MedclError, UsageError
from medcl.evaluate.zero_shot import read_prompts
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.pretrain.run import pretrain
from tests.pretrain.recipe import small
from tests.test_runs import finished

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "nested": (b"[" * 10_000, "nested more deeply than 32 levels"),
    "nested blocks": (b"- " * 10_000 + b"x", "nested more deeply than 32 levels"),
    "nested evenly": (b"a: " + b"[" * 40 + b"]" * 40, "nested more deeply than 32 levels"),
    "holds itself": (b"a: &a [*a]", "nested more deeply than 32 levels"),
    "aliases": (BOMB.encode(), "holds more than 20000 values, or its aliases stand for so many"),
    "UTF-16": ("name: x\n".encode("utf-16"), "line 1: cannot be read: not UTF-8 text"),
    "Latin-1": ("a: 1\nname: Müller\n".encode("latin-1"), "line 2: cannot be read: not UTF-8 text"),
    "zeros": (b"name: x\0\n", "control characters"),
    "tag": (b"a: 1\nb: !!python/object/apply:os.getcwd []", "line 2: cannot be read: not YAML: a tag"),
    "no YAML": (b"a: 1\n b: 2: 3\n", "line 2: cannot be read: not YAML: look at indents"),
    "no date": (b"a: 2020-13-45", "a number or date that does not exist"),
    "no number": (b"a: " + b"9" * 5000, "a number or date that does not exist"),
    "large": (b"#" * 300_000, "larger than 256 KiB"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_yaml_is_refused_by_cards_recipes_and_prompts(tmp_path: Path, kind: str) -> None:
    content, words = HOSTILE[kind]
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content)
    for read in (card.load, read_prompts, recipe, lambda one: read_yaml(one, "card")):
        with pytest.raises(UsageError, match=rf"hostile.yaml.*{words}") as raised:
            read(path)
        assert "Müller" not in str(raised.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_configuration_of_a_run_is_refused(tmp_path: Path, kind: str) -> None:
    content, words = HOSTILE[kind]
    folder = finished(tmp_path / "run", [1], "x")
    (folder / runs.CONFIG).write_bytes(content)
    with pytest.raises(MedclError, match=r"recipe.yaml: damaged"):
        runs.load(folder)
    # A run without checksums, of an earlier version or of another hand.
    (folder / runs.ENVIRONMENT).write_text('{"run_version": 1}')
    with pytest.raises(MedclError, match=rf"recipe.yaml.*{words}.*take it from a copy of the run folder") as raised:
        runs.load(folder)
    assert "Müller" not in str(raised.value)


def test_a_run_does_not_go_on_with_a_hostile_configuration(ecg_manifest: Manifest, tmp_path: Path) -> None:
    pretrain(small(steps=2), ecg_manifest, tmp_path / "store", tmp_path / "run", until=1)
    (tmp_path / "run" / runs.CONFIG).write_bytes(HOSTILE["nested"][0])
    (tmp_path / "run" / runs.ENVIRONMENT).write_text('{"run_version": 1}')
    with pytest.raises(MedclError, match=r"recipe.yaml: nested more deeply than 32 levels"):
        pretrain(small(steps=2), ecg_manifest, tmp_path / "store", tmp_path / "run", resume=True)


NO_EMBEDDINGS = [b"[" * 100_000, b"[1]", b"{}", b"\xff", b'{"content": "embeddings", "version": "x"}']


@pytest.mark.parametrize("stored", NO_EMBEDDINGS)
def test_a_damaged_description_of_embeddings_is_told_with_its_file(tmp_path: Path, stored: bytes) -> None:
    pq.write_table(pa.table({"run": ["a"]}).replace_schema_metadata({"medcl": stored}), tmp_path / "e.parquet")
    with pytest.raises(UsageError, match=r"e.parquet: holds no embeddings"):
        EmbeddingsFile.read(tmp_path / "e.parquet")


def test_a_tokenizer_that_is_nested_too_deeply_is_none() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        Tokenizer.from_json("[" * 100_000)


def test_plain_yaml_with_aliases_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("\ufeffa: &one {x: 1}\nb: *one\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml", "recipe") == {"a": {"x": 1}, "b": {"x": 1}}
    (tmp_path / "a.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "a.yaml", "recipe") is None
    with pytest.raises(UsageError, match="recipe .*b.yaml: cannot be read: not found$"):
        read_yaml(tmp_path / "b.yaml", "recipe")


@pytest.mark.parametrize("stored", [b"[" * 10_000, b"\xff\xfe", b"{", b"[1]", b'{"version": "x"}', b"9" * 5000])
def test_a_damaged_description_of_a_manifest_is_told_with_its_file(
    ecg_manifest: Manifest, tmp_path: Path, stored: bytes
) -> None:

    path = tmp_path / "m.parquet"
    pq.write_table(ecg_manifest.table.replace_schema_metadata({b"medcl": stored}), path)
    with pytest.raises(UsageError, match=r"m.parquet: damaged"):
        Manifest.read(path)


def test_json_is_parsed() -> None:
    assert parse_json(json.dumps({"a": [1]}), "here") == {"a": [1]}
