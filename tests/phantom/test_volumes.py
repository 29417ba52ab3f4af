import csv
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.phantom import ct as chest
from medcl.phantom import mr as head
from medcl.phantom.volumes import ODDITIES, write_ct, write_damaged_ct, write_damaged_mr, write_mr, write_volumes

SMALL = (32, 32, 16)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    write_ct(folder / "ct", folder / "masks" / "ct", patients=6, seed=3, shape=SMALL)
    write_mr(folder / "mr", folder / "masks" / "mr", patients=6, seed=3, shape=SMALL)
    return folder


def test_the_same_seed_writes_the_same_bytes_and_another_others(tmp_path):
    done = write_volumes(tmp_path / "first", ct_patients=1, mr_patients=1, seed=1)
    write_volumes(tmp_path / "again", ct_patients=1, mr_patients=1, seed=1)
    write_volumes(tmp_path / "other", ct_patients=1, mr_patients=1, seed=2)
    first, other = contents(tmp_path / "first"), contents(tmp_path / "other")
    assert first == contents(tmp_path / "again")
    for kind in ("*.dcm", "*.nii.gz"):
        both = [path for path in first.keys() & other.keys() if path.match(kind) and "damaged" not in path.parts]
        assert both
        assert all(first[path] != other[path] for path in both)
    assert done.ct_series == len(table(tmp_path / "first" / "ct" / "labels.csv"))
    assert done.mr_volumes == len(table(tmp_path / "first" / "mr" / "labels.csv"))
    assert len(done.damaged) == 11
    assert all((tmp_path / "first" / path).exists() for path in done.damaged)


def test_a_patient_is_the_same_however_many_there_are(tmp_path, volumes):
    write_ct(tmp_path / "ct", tmp_path / "masks" / "ct", patients=2, seed=3, shape=SMALL)
    write_mr(tmp_path / "mr", tmp_path / "masks" / "mr", patients=2, seed=3, shape=SMALL)
    few, many = contents(tmp_path), contents(volumes)
    assert len(few) > 40
    assert all(many[path] == data for path, data in few.items() if path.name != "labels.csv")


def test_ct_labels_match_the_files(volumes):
    rows = table(volumes / "ct" / "labels.csv")
    folders = {path.parent.relative_to(volumes / "ct").as_posix() for path in volumes.rglob("*.dcm")}
    assert {row["record"] for row in rows} == {name for name in folders if not name.endswith("localizer")}
    assert {row["study"].replace("_", "/") + "/localizer" for row in rows} <= folders
    assert Counter({row["patient"]: row["lesion"] for row in rows}.values()) == dict.fromkeys(chest.LESIONS, 2)
    first = {row["patient"]: row["oddity"] for row in rows if row["study"].endswith("_E1")}
    assert tuple(first.values()) == ODDITIES
    people = {}
    for row in rows:
        headers = [dcmread(path, stop_before_pixels=True) for path in (volumes / "ct" / row["record"]).iterdir()]
        assert len(headers) == SMALL[2] - (row["oddity"] == "missing slice")
        assert {header.ConvolutionKernel for header in headers} == {row["kernel"]}
        assert {header.PatientAge for header in headers} == {f"{int(row['age']):03d}Y"}
        assert {header.PatientSex for header in headers} == {row["sex"]}
        assert all(header.file_meta.TransferSyntaxUID.is_compressed == (row["oddity"] == "rle") for header in headers)
        assert all((header.GantryDetectorTilt != 0) == (row["oddity"] == "gantry tilt") for header in headers)
        people.setdefault(row["patient"], set()).update(str(header.PatientID) for header in headers)
    assert all(len(numbers) == 1 for numbers in people.values())
    assert len(set.union(*people.values())) == 6


def test_ct_label_maps_lie_on_the_organs_of_the_series(volumes):
    for row in table(volumes / "ct" / "labels.csv"):
        mask = nib.load(volumes / "masks" / "ct" / row["mask"])
        labels, found = np.asarray(mask.dataobj), {name: [] for name in chest.STRUCTURES}
        for path in (volumes / "ct" / row["record"]).iterdir():
            header = dcmread(path)
            corner = np.array([*header.ImagePositionPatient, 1.0], dtype=float) * (-1, -1, 1, 1)
            i, j, k = np.rint(np.linalg.inv(mask.affine) @ corner)[:3].astype(int)
            assert (i, j) == (SMALL[0] - 1, SMALL[1] - 1)
            hu = (header.pixel_array + float(header.RescaleIntercept)).T[::-1, ::-1]
            for number, name in enumerate(chest.STRUCTURES, start=1):
                found[name].extend(hu[labels[:, :, k] == number])
        median = {name: np.median(values) if values else None for name, values in found.items()}
        assert max(median["right_lung"], median["left_lung"]) < -600
        assert -50 < median["heart"] < 90
        assert 0 < median["liver"] < 110
        assert median["spine"] > 100
        assert (median["lesion"] is None) == (row["lesion"] == "none")


def test_mr_labels_and_label_maps_match_the_files(volumes):
    rows = table(volumes / "mr" / "labels.csv")
    files = {path.relative_to(volumes / "mr").as_posix() for path in (volumes / "mr").rglob("*.nii.gz")}
    assert {f"{row['record']}.nii.gz" for row in rows} == files
    assert Counter({row["patient"]: row["lesion"] for row in rows}.values()) == dict.fromkeys(head.LESIONS, 2)
    orientations = set()
    for row in rows:
        image = nib.load(volumes / "mr" / f"{row['record']}.nii.gz")
        mask = nib.load(volumes / "masks" / "mr" / row["mask"])
        np.testing.assert_array_equal(image.affine, mask.affine)
        orientations.add("".join(nib.aff2axcodes(image.affine)))
        values, labels = image.get_fdata(), np.asarray(mask.dataobj)
        medians = [np.median(values[labels == number]) for number in (2, 3, 4)]
        assert medians == sorted(medians)
        assert (labels == 8).any() == (row["lesion"] != "none")
        voxel = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
        assert np.isin(labels, (6, 7)).sum() * voxel == pytest.approx(float(row["hippocampi"]), rel=0.5)
        for name in (row["record"], row["mask"]):
            assert row["patient"] == Path(name).parts[0]
    assert len(orientations) > 1


def test_the_command_writes_the_kinds_that_are_asked_for_and_says_so(tmp_path, capsys):
    def told(name, *counts):
        kinds = ("--ecg-patients", "--eeg-subjects", "--ct-patients", "--mr-patients")
        words = [word for kind, count in zip(kinds, counts, strict=True) for word in (kind, str(count))]
        assert main(["phantom", str(tmp_path / name), *words]) == 0
        return capsys.readouterr().out

    text = told("mr", 0, 0, 0, 2)
    assert {path.name for path in (tmp_path / "mr").iterdir()} == {"mr", "mr.yaml", "masks"}
    files = [path for path in (tmp_path / "mr" / "mr").rglob("*.nii.gz") if "damaged" not in path.parts]
    assert f"{len(files)} MR volumes of 2 patients (mr/, NIfTI), label maps (masks/mr/), 5 damaged volumes" in text
    assert "CT" not in text
    assert "ECG" not in text
    text = told("ct", 0, 1, 1, 0)
    assert {path.name for path in (tmp_path / "ct").iterdir()} == {"ct", "ct.yaml", "eeg", "masks"}
    assert "CT series of 1 patients (ct/, DICOM)" in text
    assert "EEGs of 1 subjects (eeg/, EDF)" in text
    assert "MR" not in text


def test_a_command_that_would_write_nothing_is_a_wrong_call(tmp_path):
    for counts in (("0", "0"), ("-1", "3")):
        assert main(["phantom", str(tmp_path / "none"), "--ecg-patients", counts[0], "--eeg-subjects", counts[1]]) == 2
    assert not (tmp_path / "none").exists()


def test_the_cards_find_patients_lesions_and_label_maps(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDCL_SALT", "the salt of another site")
    write_volumes(tmp_path / "archive", ct_patients=3, mr_patients=3, seed=2)
    for name in ("ct", "mr"):
        rows = table(tmp_path / "archive" / name / "labels.csv")
        card, output = tmp_path / "archive" / f"{name}.yaml", tmp_path / f"{name}.parquet"
        assert main(["scan", str(tmp_path / "archive" / name), "--card", str(card), "-o", str(output)]) == 0
        told = capsys.readouterr().out
        assert f"label maps     mask: {len(rows)} of {len(rows)}" in told
        assert f"labelled: lesion {len(rows)}" in told
        manifest = Manifest.read(output).ok()
        assert len(manifest) == len(rows)
        assert len(set(manifest.column("patient"))) == 3


def test_each_series_is_damaged_in_its_own_way(tmp_path):
    folders = write_damaged_ct(tmp_path, seed=0)
    assert [folder.name for folder in folders] == [
        "empty",
        "letter",
        "no_pixels",
        "no_position",
        "truncated",
        "two_sizes",
    ]
    files = {folder.name: sorted(folder.iterdir()) for folder in folders}
    assert {len(paths) for paths in files.values()} == {4}
    for name in ("empty", "letter"):
        for path in files[name]:
            with pytest.raises(InvalidDicomError):
                dcmread(path)
    assert not any("PixelData" in dcmread(path) for path in files["no_pixels"])
    assert not any("ImagePositionPatient" in dcmread(path) for path in files["no_position"])
    for path in files["truncated"]:
        with pytest.raises((ValueError, EOFError)):
            assert dcmread(path).pixel_array.size
    assert [dcmread(path).pixel_array.shape for path in files["two_sizes"]] == [(16, 16)] * 3 + [(8, 16)]
    readable = [path for name in ("no_pixels", "no_position", "two_sizes") for path in files[name]]
    assert len({dcmread(path).SeriesInstanceUID for path in readable}) == 3


def test_each_nifti_is_damaged_in_its_own_way(tmp_path):
    files = {path.name: path for path in write_damaged_mr(tmp_path, seed=0)}
    assert sorted(files) == ["empty.nii", "flat.nii", "letter.nii", "short.nii", "truncated.nii.gz"]
    for name in ("empty.nii", "letter.nii"):
        with pytest.raises(nib.filebasedimages.ImageFileError):
            nib.load(files[name])
    for name in ("short.nii", "truncated.nii.gz"):
        with pytest.raises((EOFError, OSError, ValueError)):
            nib.load(files[name]).get_fdata()
    assert np.linalg.matrix_rank(nib.load(files["flat.nii"]).affine[:3, :3]) == 2
