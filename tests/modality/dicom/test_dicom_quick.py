"""The quick way through a header gives what pydicom gives, or leaves the file to it."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from medcl.errors import UnreadableError
from medcl.modality.dicom import file as dicom_file
from medcl.modality.dicom.header import tags_of
from medcl.modality.dicom.quick import read_quickly
from medcl.modality.dicom.slice import KEYWORDS, read_slices
from tests.modality.dicom.dicom_files import dataset, item, write

TAGS = tags_of(KEYWORDS)


def found(path: Path) -> Any:
    try:
        return read_slices(path, path.parent)
    except UnreadableError as error:
        return str(error)


def both(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    quick = found(path)
    with monkeypatch.context() as patch:
        patch.setattr(dicom_file, "read_quickly", lambda file, tags: None)
        return quick, found(path)


def test_the_same_is_found_in_every_file_that_comes_with_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    used = 0

    def counting(file: BinaryIO, tags: Sequence[int]) -> Any:
        nonlocal used
        header = read_quickly(file, tags)
        used += header is not None
        return header

    monkeypatch.setattr(dicom_file, "read_quickly", counting)
    paths = [path for path in Path(pydicom.data.__file__).parent.rglob("*") if path.is_file()]
    for path in paths:
        quick, slow = both(path, monkeypatch)
        assert quick == slow, path.name
    assert used > len(paths) / 4


@pytest.mark.parametrize("length", [0, 40, 131, 140, 200, 300, 400, 500, 600, 700, 800])
def test_the_same_is_found_in_a_file_that_ends_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    path = write(tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:length])
    quick, slow = both(path, monkeypatch)
    assert quick == slow


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_sequences_that_are_not_asked_for_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undefined: bool, implicit: bool
) -> None:
    made = dataset()
    inner = item(ReferencedSOPInstanceUID="1.2", PurposeOfReferenceCodeSequence=Items([item(CodeValue="7")]))
    made.ReferencedImageSequence = Items([inner, item(ReferencedSOPInstanceUID="1.3")])
    for sequence in (made["ReferencedImageSequence"], inner["PurposeOfReferenceCodeSequence"]):
        sequence.is_undefined_length = undefined
        for one in sequence.value:
            one.is_undefined_length_sequence_item = undefined
    made.ImageComments = "x" * 5000
    made.TextValue = "y" * 200_000
    if implicit:
        made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with (tmp_path / "a.dcm").open("rb") as file:
        # Without the kinds of elements the end of a sequence would have to be guessed.
        assert (read_quickly(file, TAGS) is None) == (undefined and implicit)
    quick, slow = both(tmp_path / "a.dcm", monkeypatch)
    assert quick == slow
    assert quick[0].rows == dcmread(tmp_path / "a.dcm").Rows


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "J\u00fcrgen", "SpecificCharacterSet": "ISO_IR 192"},
        {"PatientID": "two\\parts"},
        {"DiffusionBValue": 800.5},
        {"ImagePositionPatient": None},
        {"PatientID": ""},
        {"NumberOfFrames": 3},
    ],
)
def test_unusual_values_are_those_of_pydicom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    quick, slow = both(write(tmp_path / "a.dcm", **changes), monkeypatch)
    assert quick == slow


def test_another_byte_order_is_left_to_pydicom(tmp_path: Path) -> None:
    made = dataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert struct.pack(">H", made.Rows) in (tmp_path / "a.dcm").read_bytes()
    with (tmp_path / "a.dcm").open("rb") as file:
        assert read_quickly(file, TAGS) is None
    assert found(tmp_path / "a.dcm")[0].rows == made.Rows
