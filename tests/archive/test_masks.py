"""Label maps found by a pattern: which, which are missing, and that they are no records."""

import re
from pathlib import Path

import pytest

from medcl.archive.manifest import Manifest
from medcl.archive.masks import MaskRule, join_masks, label_maps
from medcl.archive.scan import scan
from medcl.cli import main
from medcl.errors import UsageError
from tests.archive.test_nifti_scan import SALT, write

CLASSES = ("background", "tumour")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("labels/{name}", "labels/x.nii.gz"),
        ("{folder}/{stem}_seg.nii.gz", "images/P1/x_seg.nii.gz"),
        ("../masks/{patient}/{stem}.nii", "../masks/P1/x.nii"),
        ("masks/{study}.nii.gz", None),
    ],
)
def test_a_pattern_is_filled_in_from_the_path(pattern: str, expected: str | None) -> None:
    rule = MaskRule(pattern, CLASSES)
    assert rule.path_of("images/P1/x.nii.gz", re.compile(r"(?P<patient>P\d)/")) == expected


def test_label_maps_are_no_records_and_missing_ones_are_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("images/P1.nii.gz", "images/P2.nii.gz", "labels/P1.nii.gz"):
        write(tmp_path / "in" / name)
    output = tmp_path / "m.parquet"
    words = ["--masks", "labels/{name}", "--mask-classes", *CLASSES, "--mask-name", "lesion", "--patient-per-record"]
    assert main(["scan", str(tmp_path / "in"), *words, "-o", str(output)]) == 0
    assert "lesion: 1 of 2" in capsys.readouterr().out
    manifest = Manifest.read(output)
    assert manifest.column("path").tolist() == ["images/P1.nii.gz", "images/P2.nii.gz"]
    assert manifest.column("lesion").tolist() == ["labels/P1.nii.gz", None]
    assert manifest.masks["lesion"].classes == CLASSES


def test_label_maps_outside_the_archive_are_found_where_the_pattern_says(tmp_path: Path) -> None:
    write(tmp_path / "in" / "P1" / "a.nii.gz")
    write(tmp_path / "masks" / "P1" / "a.nii.gz")
    rule = MaskRule("../masks/{folder}/{name}", CLASSES)
    manifest, report = join_masks(scan(tmp_path / "in", salt=SALT, jobs=1, masks=rule), rule)
    assert (report.found, report.missing) == (1, 0)
    assert (manifest.root / manifest.column("mask")[0]).samefile(tmp_path / "masks" / "P1" / "a.nii.gz")


def test_a_pattern_that_finds_nothing_says_what_it_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "a.nii.gz")
    words = ["--masks", "seg/{name}", "--mask-classes", *CLASSES, "--patient-per-record"]
    assert main(["scan", str(tmp_path / "in"), *words, "-o", str(tmp_path / "m.parquet")]) == 2
    assert "seg/a.nii.gz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "classes", "name", "reason"),
    [
        ("labels/{file}", CLASSES, "mask", "{file} is none of"),
        ("labels/{name", CLASSES, "mask", "expected '}'"),
        ("labels/all.nii.gz", CLASSES, "mask", "one file for all"),
        ("labels/{name.__class__}", CLASSES, "mask", "is none of"),
        ("labels/{name}", ("background",), "mask", "background first"),
        ("labels/{name}", ("a", "a"), "mask", "each once"),
        ("labels/{name}", CLASSES, "path", "has a column of that name"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(pattern: str, classes: tuple[str, ...], name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)):
        MaskRule(pattern, classes, name)


def test_pattern_and_classes_need_each_other(tmp_path: Path) -> None:
    assert main(["scan", str(tmp_path), "--masks", "labels/{name}", "-o", str(tmp_path / "m.parquet")]) == 2


def test_label_maps_of_other_names_are_told_by_the_volumes_beside_them() -> None:
    rule = MaskRule("{folder}/{stem}_seg.nii.gz", CLASSES)
    paths = ["a/x.nii.gz", "a/x_seg.nii.gz"]
    assert set(label_maps(rule, paths)) & set(paths) == {"a/x_seg.nii.gz"}
