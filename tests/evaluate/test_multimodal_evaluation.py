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
from PIL import Image
from rich.console import Console

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import LeakError, MedclError, UsageError
from medcl.evaluate import multimodal_space as joint_space
from medcl.evaluate.compare import compare
from medcl.evaluate.config import EvaluateConfig, MultimodalEvaluateConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.evaluate.multimodal_space import embed_kind, kept_before, require_multimodal
from medcl.evaluate.results import Results
from medcl.evaluate.results_tables import Queries
from medcl.evaluate.terminal import show
from medcl.pretrain.run import pretrain
from tests.evaluate import multimodal_run as joint_run
from tests.pretrain.multimodal_recipe import small

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
    evaluate_multimodal([folder / "run"], manifest, config, folder / "m.store", folder / "out")
    return folder


def manifest(folder: Path) -> Manifest:
    return Manifest.read(folder / "m.parquet")


def measured(folder: Path, config: MultimodalEvaluateConfig = CONFIG, archive: Manifest | None = None) -> Results:
    return evaluate_multimodal(
        [folder / "run"], archive or manifest(folder), config, folder / "m.store", folder / "again"
    )


def value(results: Results, protocol: str, metric: str, arm: str = "pretrained") -> float:
    row = results.find(protocol, arm, "0", metric)
    assert row is not None, (protocol, metric, arm)
    return row.mean


def held(results: Results) -> dict[str, float]:
    return results.splits["test"].per_class


THERE, BACK = "image to report: own report", "report to image: described by the report"


def test_both_ways_by_link_and_label_against_chance(folder: Path) -> None:
    results = Results.load(folder / "out" / "results.json")
    assert held(results) == {"images": 12, "reports": 12}
    assert results.splits["test"].patients == 6
    assert [(arm.name, arm.kind) for arm in results.arms] == [("pretrained", "run"), ("chance", "baseline")]
    asked = {one.protocol: one for one in results.queries}
    for protocol in (THERE, BACK):
        assert asked[protocol] == Queries(protocol, 12, 6, 12)
        assert value(results, protocol, "recall@5", "chance") == pytest.approx(5 / 12)
        row = results.find(protocol, "pretrained", "0", "recall@5")
        gap = results.difference(protocol, "pretrained", "chance", "0", "recall@5")
        assert row is not None
        assert gap is not None
        assert row.low <= row.mean <= row.high
        assert gap.low <= gap.mean <= gap.high
        assert gap.mean == pytest.approx(row.mean - 5 / 12)
    # Of 12 candidates two are of the patient who asks, and two of the ten others have its label.
    labelled = "image to report: same pattern, another patient"
    assert asked[labelled].candidates == 10
    assert value(results, labelled, "precision@10") == pytest.approx(0.2)
    assert value(results, labelled, "precision@10", "chance") == pytest.approx(0.2)
    within = "image to image: another of the same patient"
    assert asked[within].candidates == 11
    assert value(results, within, "recall@1", "chance") == pytest.approx(1 / 11)
    zero_shot = "zero-shot pattern of images"
    assert asked[zero_shot] == Queries(zero_shot, 12, 6, 4)
    assert 0 <= value(results, zero_shot, "auroc") <= 1
    by_class = [results.find(zero_shot, "pretrained", "0", "auroc", name) for name in joint_run.CLASSES]
    assert np.mean([row.mean for row in by_class if row]) == pytest.approx(value(results, zero_shot, "auroc"))
    assert 0 < value(results, "modality gap of images and reports", "centroid_distance") <= 2


def test_runs_are_arms_of_one_evaluation_or_compared(folder: Path, tmp_path: Path) -> None:
    own, store = manifest(folder), folder / "m.store"
    other = joint_run.trained(tmp_path / "other", own, store, steps=2)
    config = replace(CONFIG, images=0)
    both = evaluate_multimodal([folder / "run", other], own, config, store, tmp_path / "both")
    assert [arm.name for arm in both.arms] == ["run", "other", "chance"]
    gap = both.difference(THERE, "run", "other", "0", "recall@10")
    assert gap is not None
    assert gap.low <= gap.mean <= gap.high
    assert gap.mean == pytest.approx(value(both, THERE, "recall@10", "run") - value(both, THERE, "recall@10", "other"))
    for name in ("run", "other"):
        place = folder / "run" if name == "run" else other
        alone = evaluate_multimodal([place], own, config, store, tmp_path / name)
        assert {(row.protocol, row.metric): row.mean for row in alone.summary if row.arm == "pretrained"} == {
            (row.protocol, row.metric): row.mean for row in both.summary if row.arm == name
        }
    together = compare([tmp_path / name / "results.json" for name in ("run", "other")])
    assert [arm.name for arm in together.arms] == ["run", "other", "chance"]
    assert value(together, BACK, "recall@5", "other") == value(both, BACK, "recall@5", "other")
    output = io.StringIO()
    show(together, Console(file=output, width=100))
    assert "Without labels recall@10 is" in output.getvalue()


def test_seeds_are_repeats_of_one_arm(folder: Path, tmp_path: Path) -> None:
    own, store = manifest(folder), folder / "m.store"
    runs_of = [folder / "run", *(joint_run.trained(tmp_path / str(n), own, store, steps=n) for n in (2, 3, 4))]
    config = replace(CONFIG, images=1, names=["long", "short", "long", "short"])
    both = evaluate_multimodal(runs_of, own, config, store, tmp_path / "both")
    assert [(arm.name, arm.run.count(", ") + 1) for arm in both.arms] == [("long", 2), ("short", 2), ("chance", 1)]
    each = [evaluate_multimodal([one], own, CONFIG, store, tmp_path / "alone") for one in runs_of]
    for protocol, metric in ((THERE, "recall@5"), ("modality gap of images and reports", "centroid_distance")):
        single = [value(one, protocol, metric) for one in each]
        assert value(both, protocol, metric, "long") == pytest.approx((single[0] + single[2]) / 2)
        gap = both.difference(protocol, "long", "short", "0", metric)
        assert gap is not None
        assert gap.repeats == 2
        assert gap.mean == pytest.approx((single[0] + single[2] - single[1] - single[3]) / 2)
    to_chance = both.difference(THERE, "long", "chance", "0", "recall@5")
    assert to_chance is not None
    assert to_chance.mean == pytest.approx(value(both, THERE, "recall@5", "long") - 5 / 12)
    assert to_chance.low <= to_chance.mean <= to_chance.high
    assert [one.arm for one in both.grounding] == ["long", "long", "short", "short"], "pictures of the first repeat"
    output = io.StringIO()
    show(both, Console(file=output, width=120))
    assert "Mean of 2 repeats [95% CI over test patients and repeats]" in " ".join(output.getvalue().split())
    assert "test patients and repeats" in (tmp_path / "both" / "report.html").read_text()


def test_names_that_make_no_repeats_are_refused(folder: Path, tmp_path: Path) -> None:
    own, store, run = manifest(folder), folder / "m.store", folder / "run"
    other = tmp_path / "siglip"
    pretrain(small(1, method="siglip"), own, store, other)
    with pytest.raises(UsageError, match="the runs of a are of several methods"):
        evaluate_multimodal([run, other], own, replace(CONFIG, names=["a", "a"]), store, tmp_path / "x")
    for names, message in (
        (["a"], r"names: 1, runs: 2"),
        (["a", "a", "b"], "several numbers of runs: a 2, b 1"),
        (["chance", "b"], "chance is what"),
    ):
        several = [run] * max(2, len(names))
        with pytest.raises(UsageError, match=message):
            evaluate_multimodal(several, own, replace(CONFIG, names=names), store, tmp_path / "x")


def test_one_page_and_pictures_under_record_ids(folder: Path) -> None:
    page = (folder / "out" / "report.html").read_text()
    uris = re.findall(r"<img src=\"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert len(uris) == 4  # best and worst, each the picture and the map over it
    assert max(Image.open(io.BytesIO(base64.b64decode(uris[0]))).size) == 320
    results = Results.load(folder / "out" / "results.json")
    assert [one.title for one in results.grounding] == ["best", "worst"]
    assert results.grounding[0].rank <= results.grounding[1].rank
    for one in results.grounding:
        assert re.fullmatch(r"grounding/pretrained_(best|worst)_1_image-\d+\.png", one.file)
        assert (folder / "out" / one.file).read_bytes()[:4] == b"\x89PNG"
        assert one.phrase.startswith("The picture shows")
    for hit in ("own report", "Zero-shot pattern", "Modality gap", "Grounding", "chance"):
        assert hit in page
    folded = re.findall(r'<details class="metric"><summary>([^<]*) <small>', page)
    assert folded[:5] == ["recall@1", "recall@5", "precision@1", "precision@5", "precision@10"]
    assert not {"recall@10", "AUROC"} & {*folded}, "the main metrics are open"
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "http:" not in body.replace("http-equiv", "")


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
    assert held(results) == {"images": 12, "reports": 12}


def test_equal_texts_are_hits_of_each_other(folder: Path) -> None:
    own = manifest(folder)
    texts = [None if text is None else "No change." for text in own.column("report")]
    results = measured(folder, archive=own.with_column("report", pa.array(texts, pa.string())))
    there, back = results.queries[:2]
    assert value(results, THERE, "recall@1") == value(results, THERE, "recall@1", "chance") == 1.0
    assert (there.records, there.candidates, back.records, back.candidates) == (12, 1, 1, 12)
    assert held(results)["reports"] == 12
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
        there, back = results.queries[:2]
        n = int((rows & tested).sum())
        assert held(results) == {"images": 12, "reports": n}
        assert results.config["evaluation"]["reports"] == reports
        assert (there.candidates, back.records) == (n, n)
        whose = "one record" if reports == "record" else "a study or patient"
        assert there.protocol == f"image to report: own report of {whose}"
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
    config = EvaluateConfig("pattern", labels=["100%"], protocols=["probe"], repeats=1, bootstrap=20, jobs=1)
    results = finetune([folder / "run"], manifest(folder), config, folder / "m.store", tmp_path)
    assert {"pretrained", "random", "pixels"} <= {score.arm for score in results.scores}
    assert results.splits["test"].records == 12
    # What the pattern is can be read off the pixels.
    pixels = results.find("probe", "pixels", "100%", "auroc")
    assert pixels is not None
    assert pixels.mean > 0.9
    assert "Raw" in (tmp_path / "report.html").read_text()
