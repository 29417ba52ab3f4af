"""ECGs with reports: a method for recordings trains and is evaluated on them as if there were no reports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.archive.report_read import ReportRule
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.finetune import finetune
from medcl.phantom.archive import write_ecg
from medcl.phantom.report_files import add_reports
from medcl.pretrain.run import pretrain

from .recipe import small

KINDS = ("with", "without")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive scanned with its reports and without, and a run on either."""
    folder = tmp_path_factory.mktemp("mixed")
    write_ecg(folder / "ecg", patients=16)
    add_reports(folder)
    table = str(folder / "reports" / "ecg" / "reports.csv")
    sections = {"FINDINGS": "findings", "IMPRESSION": "impression", "BEFUND": "befund"}
    for kind in KINDS:
        rules = (ReportRule(table=table, sections=sections, key="record"),) if kind == "with" else ()
        build_manifest(
            ScanRequest(
                folder=folder / "ecg",
                output=folder / f"{kind}.parquet",
                labels=folder / "ecg" / "labels.csv",
                record_column="record",
                patient_column="patient",
                target_columns=("diagnosis",),
                reports=rules,
                fractions=(0.5, 0.25, 0.25),
                jobs=1,
            )
        )
        pretrain(small(steps=3), Manifest.read(folder / f"{kind}.parquet"), folder / f"{kind}.store", folder / kind)
    return folder


def test_comet_trains_the_same_weights_with_reports_and_without(folder: Path) -> None:
    manifest = Manifest.read(folder / "with.parquet")
    kinds = manifest.kinds
    assert np.count_nonzero(kinds == "report") == np.count_nonzero(kinds == "signal") > 20
    first, second = (load_file(folder / kind / runs.WEIGHTS) for kind in KINDS)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_finetune_finds_the_same_with_reports_and_without(folder: Path) -> None:
    config = EvaluateConfig(
        target="diagnosis",
        labels=["100%"],
        protocols=["probe"],
        repeats=1,
        bootstrap=20,
        allow_transductive=True,
        jobs=1,
    )
    found = []
    for kind in KINDS:
        manifest = Manifest.read(folder / f"{kind}.parquet")
        found.append(finetune([folder / kind], manifest, config, folder / f"{kind}.store", folder / f"out_{kind}"))
    for first, second in zip(found[0].scores, found[1].scores, strict=True):
        assert first.metrics == pytest.approx(second.metrics)
    assert {name: split.records for name, split in found[0].splits.items()} == {
        name: split.records for name, split in found[1].splits.items()
    }
