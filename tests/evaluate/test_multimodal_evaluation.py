"""A run on images and reports: retrieval, zero-shot, gap, grounding; what is written, and what is refused."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from medcl.evaluate.evaluation import evaluate
from PIL import Image

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import LeakError, MedclError, UsageError
from medcl.evaluate import multimodal_space as joint_space
from medcl.evaluate.config import EvaluateConfig, MultimodalEvaluateConfig
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.evaluate.multimodal_results import MultimodalResults
from medcl.evaluate.multimodal_space import embed_kind, kept_before, require_multimodal
from tests.evaluate import multimodal_run as joint_run

CONFIG = MultimodalEvaluateConfig(bootstrap=50, images=1, jobs=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, a run on it, and what was measured."""
    folder = tmp_path_factory.mktemp("joint")
    manifest = joint_run.archive(folder / "archive")
    manifest.write(folder / "m.parquet")
    joint_run.trained(folder / "run", manifest, folder / "m.store", steps=10)
    (folder / "prompts.yaml").write_text(joint_run.PROMPTS)
    config = replace(CONFIG, prompts=folder / "prompts.yaml")
    evaluate_multimodal(folder / "run", manifest, config, folder / "m.store", folder / "out")
    return folder


def manifest(folder: Path) -> Manifest:
    return Manifest.read(folder / "m.parquet")


def measured(
    folder: Path, config: MultimodalEvaluateConfig = CONFIG, archive: Manifest | None = None
) -> MultimodalResults:
    return evaluate_multimodal(
        folder / "run", archive or manifest(folder), config, folder / "m.store", folder / "again"
    )


def test_both_ways_by_link_and_label_against_chance(folder: Path) -> None:
    results = MultimodalResults.load(folder / "out" / "results.json")
    assert results.records == {"image": 12, "report": 12}
    assert results.patients == {"image": 6, "report": 6}
    by = {(one.query, one.candidate, one.hit): one.found for one in results.retrieval}
    there = by["image", "report", "own report"]
    back = by["report", "image", "described by the report"]
    for found in (there, back):
        assert (found.queries, found.candidates, found.patients, found.without_hit) == (12, 12, 6, 0)
        assert found.of("recall@5").chance == pytest.approx(5 / 12)
        assert found.of("recall@1").low <= found.of("recall@1").value <= found.of("recall@1").high
    # Of 12 candidates two are of the patient who asks, and two of the ten others have its label.
    labelled = by["image", "report", "same pattern, another patient"]
    assert labelled.candidates == 10
    assert labelled.of("precision@10").value == pytest.approx(0.2)
    assert labelled.of("precision@10").chance == pytest.approx(0.2)
    within = by["image", "image", "another of the same patient"]
    assert within.candidates == 11
    assert within.of("recall@1").chance == pytest.approx(1 / 11)
    (zero_shot,) = results.zero_shot
    assert (zero_shot.kind, zero_shot.result.target, zero_shot.result.records) == ("image", "pattern", 12)
    assert results.gaps[0].gap.records == (12, 12)


def test_one_page_and_pictures_under_record_ids(folder: Path) -> None:
    page = (folder / "out" / "report.html").read_text()
    uris = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert len(uris) == 4  # best and worst, each the picture and the map over it
    assert max(Image.open(io.BytesIO(base64.b64decode(uris[0]))).size) == 320
    results = MultimodalResults.load(folder / "out" / "results.json")
    assert [one.title for one in results.grounding] == ["best", "worst"]
    assert results.grounding[0].rank <= results.grounding[1].rank
    for one in results.grounding:
        assert re.fullmatch(r"grounding/(best|worst)_1_image-\d+\.png", one.file)
        assert (folder / "out" / one.file).read_bytes()[:4] == b"\x89PNG"
        assert one.phrase.startswith("The picture shows")
    for hit in ("Retrieval", "Zero-shot", "Modality gap", "Chance"):
        assert hit in page
    assert "http:" not in page.replace("http-equiv", "")


def test_embeddings_are_of_the_weights_and_the_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, own = require_multimodal(runs.load(folder / "run")), manifest(folder)
    rows = own.split_rows("test")
    first = embed_kind(run, own, "report", rows, folder / "m.store", jobs=1)
    assert first.z.norm(dim=1).allclose(torch.ones(12))
    calls = []
    genuine = joint_space._embed
    monkeypatch.setattr(joint_space, "_embed", lambda *words: calls.append(1) or genuine(*words))
    again = embed_kind(run, own, "report", rows, folder / "m.store", jobs=1)
    assert not calls
    assert torch.equal(first.z, again.z)
    np.testing.assert_array_equal(first.rows, again.rows)
    # Sentences are another embedding; so is another text in the same record.
    other = embed_kind(run, own, "report", rows, folder / "m.store", text="sentence", jobs=1)
    texts = [text and text.replace("stripes", "lines") for text in own.column("report")]
    changed = own.with_column("report", pa.array(texts, pa.string()))
    embed_kind(run, changed, "report", rows, folder / "m.store", jobs=1)
    assert len(calls) == 2
    assert not torch.equal(first.z, other.z)
    # A damaged file is computed anew.
    for kept in (folder / "m.store").glob("embeddings-*.npz"):
        kept.write_bytes(b"damaged")
    assert torch.equal(embed_kind(run, own, "report", rows, folder / "m.store", jobs=1).z, first.z)
    assert len(calls) == 3


def test_a_store_keeps_the_embeddings_that_were_used_last(folder: Path, tmp_path: Path) -> None:
    run, own = require_multimodal(runs.load(folder / "run")), manifest(folder)
    rows = np.flatnonzero(own.kinds == "report")
    for n in range(1, 9):
        embed_kind(run, own, "report", rows[:n], tmp_path, jobs=1)
    assert kept_before(run, own, "report", rows[:1], tmp_path) is not None  # used again, so that it is the newest
    for n in range(9, 12):
        embed_kind(run, own, "report", rows[:n], tmp_path, jobs=1)
    there = [n for n in range(1, 12) if kept_before(run, own, "report", rows[:n], tmp_path) is not None]
    assert there == [1, 5, 6, 7, 8, 9, 10, 11]
    assert len(list(tmp_path.glob("embeddings-*"))) == 8


def test_reports_without_a_split_are_where_their_records_are(folder: Path) -> None:
    own = manifest(folder)
    report = own.kinds == "report"
    splits = [None if is_report else split for is_report, split in zip(report, own.column("split"), strict=True)]
    results = measured(folder, archive=own.with_column("split", pa.array(splits, pa.string())))
    assert results.records == {"image": 12, "report": 12}


def test_equal_texts_are_hits_of_each_other(folder: Path) -> None:
    own = manifest(folder)
    texts = [None if text is None else "No change." for text in own.column("report")]
    results = measured(folder, archive=own.with_column("report", pa.array(texts, pa.string())))
    there, back = (one.found for one in results.retrieval[:2])
    assert there.of("recall@1").value == there.of("recall@1").chance == 1.0
    assert (there.queries, there.candidates, back.queries, back.candidates) == (12, 1, 1, 12)
    assert (results.records["report"], results.texts) == (12, 1)
    assert "number of reports 12, of distinct texts 1." in (folder / "again" / "report.html").read_text()


def test_captions_alone_or_reports_of_studies_alone(folder: Path) -> None:
    """Every other report loses its trial, and so speaks of the study."""
    own = manifest(folder)
    of_study = (own.kinds == "report") & (np.cumsum(own.kinds == "report") % 2 == 0)
    trials = [None if gone else int(trial) for gone, trial in zip(of_study, own.column("trial"), strict=True)]
    changed = own.with_column("trial", pa.array(trials, pa.int64()))
    tested = own.column("split") == "test"
    of_record = (own.kinds == "report") & ~of_study
    for reports, rows in (("record", of_record), ("study", of_study)):
        results = measured(folder, replace(CONFIG, reports=reports), changed)
        there, back = (one.found for one in results.retrieval[:2])
        n = int((rows & tested).sum())
        assert results.records == {"image": 12, "report": n}
        assert results.reports == MultimodalResults.load(folder / "again" / "results.json").reports == reports
        assert (there.candidates, back.queries) == (n, n)
        assert results.retrieval[0].hit == "own report of " + (
            "one record" if reports == "record" else "a study or patient"
        )
        page = (folder / "again" / "report.html").read_text()
        assert ("such as captions" in page) == (reports == "record")
        assert ("Only reports of a whole study" in page) == (reports == "study")
    with pytest.raises(MedclError, match=r"holds no reports \(report of a study or patient\)"):
        measured(folder, replace(CONFIG, reports="study"), own)
    with pytest.raises(UsageError, match="reports: caption is none of all, record, study"):
        measured(folder, replace(CONFIG, reports="caption"))  # type: ignore[arg-type]


def test_a_test_patient_that_was_trained_on_is_a_leak(folder: Path) -> None:
    with pytest.raises(LeakError, match="12 of 12 test patients"):
        measured(folder, replace(CONFIG, split="train"))
    results = measured(folder, replace(CONFIG, split="train", allow_transductive=True))
    assert "Transductive: 12 of 12 test patients" in results.notes[0]


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the manifest has the splits test, train, val"):
        measured(folder, replace(CONFIG, split="tset"))
    own = manifest(folder)
    with pytest.raises(MedclError, match="holds no reports"):
        measured(folder, archive=own.of_kind("image"))
    (tmp_path / "p.yaml").write_text("pattern: {classes: {vertical: [vertical], middle: [middle]}}")
    with pytest.raises(UsageError, match="'middle' not among its classes horizontal, vertical"):
        measured(folder, replace(CONFIG, prompts=tmp_path / "p.yaml"))
    apart = own.with_column("trial", pa.array(np.arange(len(own)))).with_column("study", pa.array(np.arange(len(own))))
    with pytest.raises(MedclError, match="belongs to any of"):
        measured(folder, archive=apart)


def test_labels_are_learned_with_the_side_that_carries_them_beside_raw_pixels(folder: Path, tmp_path: Path) -> None:
    config = EvaluateConfig("pattern", ["100%"], protocols=["probe", "pixels"], repeats=1, bootstrap=20, jobs=1)
    results = evaluate(folder / "run", manifest(folder), config, folder / "m.store", tmp_path)
    assert {(one.protocol, one.init) for one in results.scores} == {
        (protocol, init) for protocol in ("probe", "pixels") for init in ("pretrained", "random")
    }
    assert results.splits["test"].records == 12
    # What the pattern is can be read off the pixels.
    assert results.find("pixels", "random", "100%", "auroc").mean > 0.9  # type: ignore[union-attr]
    assert results.find("pixels", "pretrained", "100%", "auroc") is not None
    page = (tmp_path / "report.html").read_text()
    assert "Raw 16 x 16 pixels" in page
