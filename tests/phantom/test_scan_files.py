from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, MRImageStorage, RLELossless

from medcl.phantom import ct as chest
from medcl.phantom import mr
from medcl.phantom import mr as head
from medcl.phantom.anatomy import grid_affine
from medcl.phantom.ct import Scan, draw_scanner, scan_ct
from medcl.phantom.person import draw_person, draw_studies
from medcl.phantom.scan_files import DicomSeries, write_localizer, write_nifti, write_series

SHAPE, SPACING = (20, 24, 8), (17.6, 15.0, 28.0)
AXIAL = DicomSeries("CT", 2, "Thorax soft", "Alpha 64", "soft")


def scanned(tilt=0.0):
    rng = np.random.default_rng(3)
    return scan_ct(chest.draw_chest("smooth", rng), draw_scanner(rng), rng, shape=SHAPE, spacing=SPACING, tilt=tilt)


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(4)
    return draw_studies(draw_person("F", 40, rng), 2, "0/ct/P0001", rng)[0]


def at(scan, files):
    """The value of the scan at every pixel, found through the geometry that the headers state."""
    inverse = np.linalg.inv(scan.affine)
    for header in map(dcmread, files):
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        spacing = [float(value) for value in header.PixelSpacing]
        r, c = np.indices((header.Rows, header.Columns))
        lps = np.array(header.ImagePositionPatient, dtype=float)[:, None, None] + (
            row[:, None, None] * c * spacing[1] + column[:, None, None] * r * spacing[0]
        )
        ras = lps * np.array([-1, -1, 1])[:, None, None]
        index = np.einsum("ij,jrc->irc", inverse[:3, :3], ras) + inverse[:3, 3][:, None, None]
        np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
        yield header, scan.image[tuple(np.rint(index).astype(int))]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 12.0, -12.0])
def test_every_pixel_is_in_its_place_with_its_hounsfield_units(tmp_path, study, signed, compressed, tilt):
    scan = scanned(tilt)
    files = write_series(tmp_path, scan, study, replace(AXIAL, signed=signed, compressed=compressed))
    assert len(files) == SHAPE[2]
    for header, expected in at(scan, files):
        hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        np.testing.assert_array_equal(hu, expected)
        assert (header.file_meta.TransferSyntaxUID == RLELossless) == compressed
        assert float(header.GantryDetectorTilt) == pytest.approx(tilt, abs=1e-3)
        assert (header.Rows, header.Columns) == (SHAPE[1], SHAPE[0])


def test_slices_are_numbered_from_the_head_and_a_lost_one_leaves_a_gap(tmp_path, study):
    files = write_series(tmp_path, scanned(), study, replace(AXIAL, missing=(3,)))
    headers = [dcmread(path, stop_before_pixels=True) for path in files]
    heights = np.array([float(header.ImagePositionPatient[2]) for header in headers])
    assert [header.InstanceNumber for header in headers] == [1, 2, 3, 4, 6, 7, 8]
    np.testing.assert_allclose(np.diff(heights), [-28, -28, -28, -56, -28, -28], atol=1e-5)
    assert {float(header.SliceThickness) for header in headers} == {28}


def test_ids_follow_from_the_study_and_tell_series_and_instances_apart(tmp_path, study):
    scan = scanned()
    first, again = (write_series(tmp_path / name, scan, study, AXIAL) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = write_series(tmp_path / "c", scan, study, replace(AXIAL, number=3))
    visit = write_series(tmp_path / "d", scan, replace(study, key="0/ct/P0001/2"), AXIAL)
    a, c, d = ([dcmread(path) for path in files] for files in (first, other, visit))
    assert len({header.SOPInstanceUID for header in a + c + d}) == 3 * SHAPE[2]
    assert len({header.SeriesInstanceUID for header in a + c + d}) == 3
    assert {header.StudyInstanceUID for header in a + c} == {a[0].StudyInstanceUID}
    assert a[0].StudyInstanceUID != d[0].StudyInstanceUID
    assert all(header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID for header in a)
    assert {header.SOPClassUID for header in a} == {CTImageStorage}


def test_there_is_a_person_to_remove(tmp_path, study):
    header = dcmread(write_series(tmp_path, scanned(), study, AXIAL)[0])
    assert str(header.PatientName) == study.person.name
    assert header.PatientBirthDate == study.person.birth.strftime("%Y%m%d")
    assert header.PatientID == study.person.number
    assert header.PatientAge == f"{study.age:03d}Y"
    assert study.person.name.replace("^", " ") in header.PatientComments
    assert str(header.private_block(0x0011, "PHANTOM WORKS")[0x01].value) == study.person.name


def test_the_localizer_is_another_series_of_the_study_seen_from_the_front(tmp_path, study):
    scan = scanned()
    axial = dcmread(write_series(tmp_path / "a", scan, study, AXIAL)[0])
    scout = dcmread(write_localizer(tmp_path / "l", scan, study, replace(AXIAL, number=1)))
    assert scout.ImageType[2] == "LOCALIZER"
    assert scout.ImageOrientationPatient == [1, 0, 0, 0, 0, -1]
    assert scout.StudyInstanceUID == axial.StudyInstanceUID
    assert scout.SeriesInstanceUID != axial.SeriesInstanceUID
    assert scout.FrameOfReferenceUID == axial.FrameOfReferenceUID
    assert float(scout.GantryDetectorTilt) == 0
    assert (scout.Rows, scout.Columns) == (SHAPE[2], SHAPE[0])
    expected = np.rint((scan.image + 1000).mean(axis=1) - 1000)
    np.testing.assert_array_equal(scout.pixel_array.astype(int) - 1024, expected[::-1, ::-1].T)
    assert float(scout.ImagePositionPatient[2]) == pytest.approx(scan.affine[2, 2] * (SHAPE[2] - 1) / 2)


def test_an_mr_has_its_own_numbers_and_no_hounsfield_units(tmp_path, study):
    rng = np.random.default_rng(5)
    scan = mr.scan_mr(
        head.draw_head("ring", rng), mr.draw_scanner(rng), rng, shape=(16, 16, 6), spacing=(14.0, 14.0, 30.0)
    )
    assert isinstance(scan, Scan)
    files = write_series(tmp_path, scan, study, DicomSeries("MR", 2, "T1", "Epsilon 3T"))
    for header, expected in at(scan, files):
        np.testing.assert_array_equal(header.pixel_array, expected)
        assert header.SOPClassUID == MRImageStorage
        assert "RescaleIntercept" not in header
        assert "GantryDetectorTilt" not in header


NIFTI_SHAPE = (6, 5, 4)
VOXELS = np.arange(120, dtype=np.float32).reshape(NIFTI_SHAPE) - 30


@pytest.mark.parametrize("orientation", ["RAS", "LAS", "LPS", "PIR"])
def test_a_voxel_stays_where_it_is_whatever_the_order_of_the_axes(tmp_path, orientation):
    affine = grid_affine(NIFTI_SHAPE, (2, 3, 4))
    write_nifti(tmp_path / "x.nii.gz", VOXELS, affine, orientation=orientation)
    image = nib.load(tmp_path / "x.nii.gz")
    assert "".join(nib.aff2axcodes(image.affine)) == orientation
    assert image.get_data_dtype() == np.int16
    assert image.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-5)
    back = nib.as_closest_canonical(image)
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(back.get_fdata(), VOXELS)


def test_a_sheared_grid_is_kept_in_the_sform_alone(tmp_path):
    affine = grid_affine(NIFTI_SHAPE, (2, 3, 4), tilt=15)
    write_nifti(tmp_path / "x.nii", VOXELS, affine)
    image = nib.load(tmp_path / "x.nii")
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    assert int(image.header["qform_code"]) == 0


def test_label_maps_stay_bytes_and_files_are_the_same_each_time(tmp_path):
    labels = VOXELS.clip(0, 8).astype(np.uint8)
    for name in ("a", "b"):
        write_nifti(tmp_path / name / "x.nii.gz", labels, np.eye(4))
    assert nib.load(tmp_path / "a" / "x.nii.gz").get_data_dtype() == np.uint8
    assert (tmp_path / "a" / "x.nii.gz").read_bytes() == (tmp_path / "b" / "x.nii.gz").read_bytes()
