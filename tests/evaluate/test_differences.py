"""`medcl differences`: a planted difference is found in the words of the reports, and nothing where there is none."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import MedclError
from medcl.evaluate import differences as differing
from medcl.evaluate.differences import Differences, common_sentences, differences
from medcl.evaluate.multimodal_space import Embedded, MultimodalRun
from tests.data.linked_archive import PATTERNS
from tests.evaluate import multimodal_run

SAID = [f"The picture shows {one} all over." for one in PATTERNS]


def with_sites(manifest: Manifest) -> Manifest:
    """Site `a` has the patients with stripes, `b` those without; a lot of its own has every other patient of each."""
    patient = manifest.column("patient") - 100
    manifest = manifest.with_column("site_name", pa.array(["a" if one % 2 == 0 else "b" for one in patient]))
    return manifest.with_column("lot", pa.array([["x", "odd"] if one // 2 % 2 else ["even"] for one in patient]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("differences")
    manifest = with_sites(multimodal_run.archive(folder / "archive", patients=16))
    manifest.write(folder / "m.parquet")
    multimodal_run.trained(folder / "run", manifest, folder / "m.store", steps=2)
    return folder


@pytest.fixture
def planted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MultimodalRun:
    """A run to which an image is its pattern, and a text the pattern that it names, with noise."""

    def embed_kind(run: object, manifest: Manifest, kind: str, rows: np.ndarray, store: Path, jobs: int) -> Embedded:
        pattern = [int(str(one).split("-")[1]) % 4 for one in manifest.column("record_id")[rows]]
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=(len(rows), 4))) / 3
        return Embedded("image", rows, torch.nn.functional.normalize(torch.eye(4)[pattern] + noise, dim=1))

    def embed_texts(run: object, texts: Sequence[str]) -> Tensor:
        return torch.stack([torch.eye(4)[[one in text for one in PATTERNS].index(True)] for text in texts])

    monkeypatch.setattr(differing, "embed_kind", embed_kind)
    monkeypatch.setattr(differing, "embed_texts", embed_texts)
    return runs.load(folder / "run", kinds=())


def compared(run: MultimodalRun, folder: Path, first: tuple[str, str], second: tuple[str, str] | None) -> Differences:
    own = Manifest.read(folder / "m.parquet")
    return differences(run, own, first, second, folder / "m.store", bootstrap=200, seed=1)


def test_a_planted_difference_is_found_in_the_reports(planted: MultimodalRun, folder: Path) -> None:
    told = compared(planted, folder, ("site_name", "a"), ("site_name", "b"))
    assert told.patients == (4, 4)
    assert {one.phrase for one in told.found[:2]} == set(SAID[:2])
    assert {one.phrase for one in told.found[2:]} == set(SAID[2:])
    assert all(one.separation.q < 0.05 for one in told.found)
    assert told.found[0].separation.difference > 0 > told.found[-1].separation.difference


def test_without_a_difference_none_is_claimed(planted: MultimodalRun, folder: Path) -> None:
    told = compared(planted, folder, ("lot", "odd"), None)
    assert told.proposed == 4
    assert all(one.separation.q > 0.05 for one in told.found)


def test_only_patients_that_do_not_rank_propose(planted: MultimodalRun, folder: Path) -> None:
    own = Manifest.read(folder / "m.parquet")
    people = np.unique(own.column("patient"))
    proposing = people[differing._half((people - 100) % 2 == 0, seed=1)]
    assert len(proposing) == 8
    for some, proposed in ((proposing, 5), (np.setdiff1d(people, proposing), 4)):
        said = [
            f"{text} Again a checkerboard there." if text and one in some else text
            for text, one in zip(own.column("report"), own.column("patient"), strict=True)
        ]
        changed = own.with_column("report", pa.array(said))
        told = differences(planted, changed, ("site_name", "a"), None, folder / "m.store", bootstrap=10, seed=1)
        assert told.proposed == proposed


def test_a_sentence_of_few_patients_is_no_phrase(folder: Path) -> None:
    own = Manifest.read(folder / "m.parquet")
    people = own.column("patient")
    assert common_sentences(own, people, 3) == SAID
    assert "Study number 3 of this examination series." in common_sentences(own, people, 1)
    assert common_sentences(own, people, 99) == []


def test_patients_in_both_sets_are_left_out(planted: MultimodalRun, folder: Path) -> None:
    own = Manifest.read(folder / "m.parquet")
    # Every patient has two patterns, one in each set.
    with pytest.raises(MedclError, match="the first set has 0 patients who are not in the other: 4 are needed"):
        differences(planted, own, ("pattern", "horizontal"), None, folder / "m.store")


def test_the_command_prints_and_writes_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["differences", str(folder / "run"), "--manifest", str(folder / "m.parquet"), "--jobs", "1"]
    words = ["--first", "site_name=a", "--bootstrap", "20", "-o", str(folder / "told.csv")]
    assert main([*call, *words]) == 0
    printed = capsys.readouterr().out
    assert "images of 4 patients with site_name=a against 4 with another value" in printed
    assert "4 phrases were proposed, 4 ranked" in printed
    table = (folder / "told.csv").read_text().splitlines()
    assert table[0] == "phrase,auroc,low,high,difference,p,q"
    assert len(table) == 5
    (folder / "words.txt").write_text("stripes\n\nno stripes\n")
    assert main([*call, "--first", "lot=odd", "--phrases", str(folder / "words.txt"), "--kind", "report"]) == 0
    assert "reports of 4 patients with lot=odd" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--first", "site_name"], "--first site_name: write COLUMN=VALUE"),
        (["--first", "site_nam=a"], "the manifest has no such column; did you mean 'site_name'?"),
        (["--first", "site_name=c"], "site_name=c: no record has it"),
        (["--first", "site_name=a", "--phrases", "nowhere.txt"], "--phrases nowhere.txt: cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["differences", str(folder / "run"), "--manifest", str(folder / "m.parquet"), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.acceptance
def test_a_trained_run_finds_the_difference_in_images_it_did_not_see(tmp_path: Path) -> None:
    manifest = with_sites(multimodal_run.archive(tmp_path / "archive", patients=48))
    run = multimodal_run.trained(tmp_path / "run", manifest, tmp_path / "store", steps=120)
    told = differences(
        runs.load(run, kinds=()), manifest, ("site_name", "a"), None, tmp_path / "store", split="test", jobs=1
    )
    first = [one.phrase for one in told.found if one.separation.q < 0.05 and one.separation.auroc > 0.5]
    second = [one.phrase for one in told.found if one.separation.q < 0.05 and one.separation.auroc < 0.5]
    assert first
    assert second
    assert set(first) <= set(SAID[:2])
    assert set(second) <= set(SAID[2:])
