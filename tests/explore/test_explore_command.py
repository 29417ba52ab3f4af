"""`medcl explore`: a file of embeddings becomes a page."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl.archive.manifest import Manifest
from medcl.cli import main
from tests.explore import embedded


@pytest.fixture
def ok(ecg_manifest: Manifest) -> Manifest:
    return ecg_manifest.ok()


@pytest.fixture
def path(ok: Manifest, tmp_path: Path) -> Path:
    vectors = np.random.default_rng(0).normal(size=(len(ok), 8))
    embedded.write(ok, vectors, tmp_path / "e.parquet")
    return tmp_path / "e.parquet"


def content(page: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a page holds: about it, and its thumbnails."""
    html = page.read_text()
    found = re.search(r'id="about">(.*?)</script>', html)
    assert found is not None
    about = json.loads(found[1])
    block = re.search(rf'id="block-{about["thumbnails"]["block"]}">(.*?)</script>', html)
    assert block is not None
    return about, json.loads(block[1])


def test_the_page_lies_beside_the_file_and_shows_every_record(
    path: Path, ok: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", str(path), "--projection", "pca", "--thumbnails", "5"]) == 0
    assert f"{path.with_name('explore.html')}: {len(ok)} points" in capsys.readouterr().out
    about, thumbnails = content(path.with_name("explore.html"))
    assert about["count"] == len(ok)
    names = [one["name"] for one in about["columns"]]
    # Labels come first; what names a person, a file or a text is none of a page's business.
    assert names[:3] == ["diagnosis", "age", "sex"]
    assert "split" in names
    assert not {"patient", "path", "record_id", "checksum", "report"} & set(names)
    assert about["color"] == "diagnosis"
    assert len(thumbnails["rows"]) == 5
    text = path.with_name("explore.html").read_text()
    assert f"5 of {len(ok)} records have a thumbnail, drawn at random (seed 0)." in text
    assert not any(str(code) in text for code in ok.column("patient"))
    assert str(ok.root) not in text


def test_the_map_goes_into_the_file_for_other_viewers(path: Path, ok: Manifest) -> None:
    words = ["explore", str(path), "--projection", "tsne", "pca", "--thumbnails", "none", "--write-xy"]
    assert main([*words, "--color", "age"]) == 0
    table = pq.read_table(path)
    assert table["x"].type == table["y"].type == pa.float32()
    about, thumbnails = content(path.with_name("explore.html"))
    assert about["color"] == "age"
    assert [one["name"] for one in about["projections"]] == ["t-SNE", "PCA"]
    assert thumbnails["rows"] == {}
    # A second page is of the same columns: a map is no label.
    names = [one["name"] for one in about["columns"]]
    assert main(words) == 0
    assert [one["name"] for one in content(path.with_name("explore.html"))[0]["columns"]] == names


def test_files_that_have_gone_leave_a_page_that_says_so(ok: Manifest, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    shutil.copytree(ok.root, root)
    moved = Manifest(ok.table, root, ok.metadata)
    embedded.write(moved, np.random.default_rng(0).normal(size=(len(ok), 8)), tmp_path / "e.parquet")
    shutil.rmtree(root)
    assert main(["explore", str(tmp_path / "e.parquet"), "--projection", "pca"]) == 0
    about, thumbnails = content(tmp_path / "explore.html")
    assert about["count"] == len(ok)
    assert len(thumbnails["images"]) == 1
    assert f"{len(ok)} of {len(ok)} records have no image" in (tmp_path / "explore.html").read_text()
    # The archive lies elsewhere now, and has one more label.
    manifest = ok.with_column("ward", pa.array(["A", "B"] * (len(ok) // 2) + ["A"] * (len(ok) % 2)))
    manifest.write(tmp_path / "m.parquet")
    words = ["explore", str(tmp_path / "e.parquet"), "--manifest", str(tmp_path / "m.parquet"), "--color", "ward"]
    assert main([*words, "--projection", "pca"]) == 0
    about, thumbnails = content(tmp_path / "explore.html")
    assert about["color"] == "ward"
    assert len(thumbnails["images"]) == len(ok)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--color", "hospital"], "no column 'hospital' to colour by: there are diagnosis, age, sex"),
        (["--thumbnails", "many"], "--thumbnails: 'many' is not a whole number or none"),
        (["-o", "page.png"], "-o page.png: a page is an .html file"),
    ],
)
def test_a_call_that_cannot_be_meant_is_told_why(
    words: list[str], told: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", str(path), "--projection", "pca", *words]) == 2
    assert told in capsys.readouterr().err
    assert not path.with_name("explore.html").exists()


def test_a_manifest_of_other_records_is_refused(
    path: Path, ok: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ok.select(np.arange(len(ok) - 2)).write(tmp_path / "m.parquet")
    assert main(["explore", str(path), "--manifest", str(tmp_path / "m.parquet")]) == 2
    assert "the manifest holds other records" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 3])
def test_few_records_are_a_map_of_components(count: int, ok: Manifest, tmp_path: Path) -> None:
    few = ok.select(np.arange(count))
    embedded.write(few, np.eye(8)[:count], tmp_path / "e.parquet")
    assert main(["explore", str(tmp_path / "e.parquet"), "--projection", "pca"]) == 0
    assert content(tmp_path / "explore.html")[0]["count"] == count


def test_t_sne_of_three_records_says_what_to_take(
    ok: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embedded.write(ok.select([0, 1, 2]), np.eye(8)[:3], tmp_path / "e.parquet")
    assert main(["explore", str(tmp_path / "e.parquet"), "--projection", "tsne"]) == 2
    assert "take pca" in capsys.readouterr().err


def test_vectors_that_are_no_numbers_are_named(
    ok: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = np.ones((len(ok), 8))
    vectors[3, 1] = np.nan
    embedded.write(ok, vectors, tmp_path / "e.parquet")
    assert main(["explore", str(tmp_path / "e.parquet")]) == 1
    assert str(ok.column("record_id")[3]) in capsys.readouterr().err
    vectors[:] = 1
    embedded.write(ok, vectors, tmp_path / "e.parquet")
    assert main(["explore", str(tmp_path / "e.parquet"), "--projection", "pca"]) == 0
    assert "the encoder has collapsed" in (tmp_path / "explore.html").read_text()
