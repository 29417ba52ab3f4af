"""Encoders of reports alone: a report by one of its sentences, and alike reports near each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import UsageError
from medcl.evaluate.config import MultimodalEvaluateConfig
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.evaluate.results import Results
from medcl.evaluate.text_trials import Texts, by_labels, by_sentence, once, space, tf_idf
from medcl.modality.report.config import TextConfig
from medcl.networks.multimodal import REPORT
from tests.modality.report.encoders.pretrained_texts import bert

CONFIG = MultimodalEvaluateConfig(bootstrap=50, jobs=1)
SENTENCES = TextConfig(draw="sentence")
WORDS = ("nodule", "opacity")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of images of shapes with reports, and a run on the reports."""
    folder = tmp_path_factory.mktemp("texts")
    archive = folder / "archive"
    assert main(["phantom", str(archive), "--ecg-patients", "0", "--eeg-subjects", "0", "--shape-patients", "30"]) == 0
    shapes = archive / "shapes"
    scan = ["scan", str(shapes), "--labels", str(shapes / "labels.csv"), "--record-column", "record"]
    scan += ["--patient-column", "patient", "--modality", "xray", "--target-columns", "nodule", "opacity"]
    scan += ["--reports", str(archive / "reports" / "shapes" / "reports.csv"), "--report-key", "record"]
    scan += [
        "--report-column",
        "FINDINGS=findings",
        "--fractions",
        "0.5",
        "0.2",
        "0.3",
        "-o",
        str(folder / "m.parquet"),
    ]
    assert main(scan) == 0
    pretrain = ["pretrain", "report_simclr", "--manifest", str(folder / "m.parquet"), "-o", str(folder / "run")]
    assert main([*pretrain, "--optimiser.steps", "3", "--hardware.accelerator", "cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return Manifest.read(folder / "m.parquet").ok()


def test_the_command_measures_a_run_on_reports_beside_words_and_chance(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    assert main(["evaluate", str(folder / "run"), "--manifest", str(folder / "m.parquet"), "-o", str(out)]) == 0
    assert "next: medcl embed" in capsys.readouterr().out
    results = Results.load(out / "results.json")
    assert [arm.name for arm in results.arms] == ["pretrained", "tf_idf", "chance"]
    assert {one.protocol for one in results.queries} == {
        "sentence to the rest of its report",
        "alike by labels, near by cosine",
    }
    row = results.find("sentence to the rest of its report", "tf_idf", "0", "ndcg@10")
    assert row is not None
    assert 0 <= row.low <= row.mean <= row.high <= 1
    assert (out / "report.html").is_file()


def test_words_stand_beside_every_repeat_of_a_run(folder: Path, manifest: Manifest) -> None:
    several = [folder / "run"] * 2
    config = MultimodalEvaluateConfig(bootstrap=20, jobs=1, names=["simclr", "simclr"])
    results = evaluate_multimodal(several, manifest, config, folder / "m.store", folder / "repeats")
    assert [arm.name for arm in results.arms] == ["simclr", "tf_idf", "chance"]
    gap = results.difference("sentence to the rest of its report", "simclr", "tf_idf", "0", "ndcg@10")
    found = results.find("sentence to the rest of its report", "simclr", "0", "ndcg@10")
    words = results.find("sentence to the rest of its report", "tf_idf", "0", "ndcg@10")
    assert gap is not None
    assert found is not None
    assert words is not None
    assert (gap.repeats, found.repeats, words.repeats) == (2, 2, 2)
    assert gap.mean == pytest.approx(found.mean - words.mean)


def test_settings_of_several_modalities_are_refused(folder: Path, manifest: Manifest) -> None:
    config = MultimodalEvaluateConfig(swaps=True)
    with pytest.raises(UsageError, match="on reports alone, so that --swaps does not apply"):
        evaluate_multimodal([folder / "run"], manifest, config, folder / "m.store", folder / "none")


def test_words_in_common_find_the_report_and_equal_texts_are_one() -> None:
    table = [f"Finding {n} of organ {n}. Marker {n} again in organ {n}." for n in range(20)]
    texts = Texts(
        [one.replace(". ", ".|").split("|") for one in table], np.arange(20), [np.array([n]) for n in range(20)]
    )
    trial = by_sentence(texts, {"words": tf_idf(texts.whole)}, np.arange(20), CONFIG)
    assert trial is not None
    found = trial.measured["words"].metrics(np.ones((20, 1)))[0]
    by_chance = trial.measured["chance"].metrics(np.ones((20, 1)))[0]
    assert found["recall@1"] > 0.4 > by_chance["recall@1"] == pytest.approx(0.05)
    places = np.arange(1, 11)
    assert by_chance["ndcg@10"] == pytest.approx((1 / np.log2(places + 1)).sum() / 20)


def test_no_text_is_embedded_twice() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> Tensor:
        asked.extend(texts)
        return torch.tensor([[float(len(text))] for text in texts])

    own = once(embed)
    assert own(["a", "bcd", "a"]).tolist() == [[1], [3], [1]]
    assert own(["ef", "a"]).tolist() == [[2], [1]]
    assert own(["a"]).tolist() == [[1]]
    assert asked == ["a", "bcd", "ef"]


def test_texts_that_lie_by_their_labels_correlate_with_them(manifest: Manifest) -> None:
    rows = np.flatnonzero(manifest.kinds == REPORT)
    texts = Texts.of(manifest, rows, SENTENCES)
    assert len(texts.rows) < len(rows) == sum(len(some) for some in texts.members)
    known = links(manifest)

    def labelled(whole: list[str]) -> Tensor:
        said = [[word in one.lower() and f"no {word}" not in one.lower() for word in WORDS] for one in whole]
        return torch.tensor([[float(value == there) for there in one for value in (True, False)] for one in said])

    vectors = {"labels": labelled(texts.whole), "constant": torch.ones(len(texts.rows), 2)}
    trial = by_labels(texts, vectors, manifest, known, CONFIG)
    assert trial is not None
    weights = np.ones((trial.measured["labels"].n_items, 1))
    assert trial.measured["labels"].metrics(weights)[0]["spearman"] > 0.5
    assert np.isnan(trial.measured["constant"].metrics(weights)[0]["spearman"]).all()


def test_the_space_of_one_point_is_even_nowhere(manifest: Manifest) -> None:
    texts = Texts.of(manifest, np.flatnonzero(manifest.kinds == REPORT), SENTENCES)
    ((_, found),) = space(texts, {"constant": torch.ones(len(texts.rows), 2)}, manifest)
    assert found == {"alignment": pytest.approx(0), "alignment_all": pytest.approx(0), "uniformity": pytest.approx(0)}


def test_a_published_sentence_encoder_is_measured_beside_words(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bert(tmp_path / "models" / "tiny")
    words = ["evaluate", str(folder / "run"), "--manifest", str(folder / "m.parquet"), "--bootstrap", "20"]
    assert main([*words, "-o", str(tmp_path / "out"), "--encoders", str(model)]) == 0
    assert "models/tiny" in capsys.readouterr().out
    results = Results.load(tmp_path / "out" / "results.json")
    assert [(arm.name, arm.kind) for arm in results.arms] == [
        ("pretrained", "run"),
        ("models/tiny", "foreign"),
        ("tf_idf", "baseline"),
        ("chance", "baseline"),
    ]
    for protocol in ("sentence to the rest of its report", "alike by labels, near by cosine"):
        assert {row.arm for row in results.summary if row.protocol == protocol} == {arm.name for arm in results.arms}
    assert main([*words, "-o", str(tmp_path / "two"), "--encoders", str(model), str(model)]) == 2
    assert "two of them are called models/tiny" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path / "none"), "--encoders", str(tmp_path / "nowhere")]) == 1
    assert "there is no such folder of a transformers model" in capsys.readouterr().err
