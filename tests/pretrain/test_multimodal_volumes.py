"""Volumes with reports, from files to results: CT as DICOM, its reports as DICOM SR, in three dimensions."""

from pathlib import Path

import numpy as np
import pytest

from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.archive.report_read import ReportRule
from medcl.evaluate.config import EvaluateConfig, MultimodalEvaluateConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
from medcl.modality.spec import TextCard, VolumeCard
from medcl.phantom.report_files import add_reports
from medcl.phantom.volumes import write_ct
from medcl.pretrain.run import pretrain

from .multimodal_recipe import PAIR, REPORT, small

VOLUME = {
    "modality": "volume",
    "data": {"size": [8, 8, 8], "percentiles": [1, 99]},
    "encoder": {"name": "unet", "dims": 3, "widths": [4, 8], "dim": 8, "norm": "group"},
    "views": {"brightness": 0.1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of nine patients, scanned, and a run on it."""
    folder = tmp_path_factory.mktemp("volumes")
    root = folder / "archive"
    write_ct(root / "ct", root / "masks" / "ct", patients=9, shape=(12, 12, 10))
    add_reports(root)
    (root / "reports" / "ct").rename(root / "ct" / "reports")
    build_manifest(
        ScanRequest(
            folder=root / "ct",
            output=folder / "m.parquet",
            labels=root / "ct" / "labels.csv",
            record_column="record",
            target_columns=("lesion",),
            reports=(ReportRule(files="reports/**/*.dcm"),),
            fractions=(4, 2, 3),
            jobs=1,
        )
    )
    recipe = small(3, {"pair": {**PAIR, "between": ["volume", "report"]}}, {"volume": VOLUME, "report": REPORT})
    pretrain(recipe, Manifest.read(folder / "m.parquet"), folder / "s", folder / "r")
    return folder


def test_a_report_describes_the_volumes_of_its_study(folder: Path) -> None:
    manifest = Manifest.read(folder / "m.parquet")
    linked = links(manifest)
    volumes = np.flatnonzero((manifest.kinds == "volume") & (manifest.column("status") == "ok"))
    assert len(volumes) >= 9
    for row in volumes:
        reports = linked.reports_of(int(row))
        assert len(reports) == 1
        assert (manifest.column("study")[reports] == manifest.column("study")[row]).all()


def test_the_run_loads_and_its_retrieval_is_measured(folder: Path) -> None:
    run = runs.load_joint(folder / "r")
    assert [type(card) for card in run.card.sides.values()] == [VolumeCard, TextCard]
    config = MultimodalEvaluateConfig(bootstrap=20, images=1, jobs=1)
    results = evaluate_multimodal(
        [folder / "r"], Manifest.read(folder / "m.parquet"), config, folder / "s", folder / "out"
    )
    assert results.splits["test"].per_class["volumes"] >= 2
    ways = {one.protocol.partition(":")[0] for one in results.queries}
    assert {"volume to report", "report to volume"} <= ways
    assert (folder / "out" / "report.html").is_file()


def test_the_volume_side_is_finetuned_as_any_encoder_of_volumes(folder: Path) -> None:
    manifest = Manifest.read(folder / "m.parquet")
    config = EvaluateConfig(target="lesion", labels=["100%"], protocols=["probe"], repeats=1, bootstrap=20, jobs=1)
    results = finetune([folder / "r"], manifest, config, folder / "s", folder / "probe")
    assert results.target.name == "lesion"
    assert {("probe", "pretrained"), ("probe", "random")} <= {(one.protocol, one.arm) for one in results.scores}
