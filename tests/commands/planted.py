"""Synthetic archives with the name of a person in every place that is read, and what a written file says."""

import base64
import csv
import io
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement

from medcl.phantom.archive import write
from medcl.phantom.radiograph import write_radiographs
from medcl.phantom.report_files import add_reports
from medcl.phantom.volumes import write_ct, write_mr, write_mr_card

PERSON = "Quorabelle Zyxwinkel"
NUMBER = "4711883390"
FINDING = "Quintosclerosis"
"""A word of reports that names nobody."""
TOLD = f" {FINDING}. Dictated by Dr. Zyxwinkel on 19.07.1931. {PERSON} was told, born 1931-07-19, MRN {NUMBER}."
WORDS = ("zyxwinkel", "quorabelle", NUMBER, "1931-07", "19310719", "19.07.1931", "19-jul-1931", "1931:07")
"""None of these may be met in anything that is written or said."""
PLACE = "ypsilonde"
"""In the names of folders and files, which only these columns may hold: a file has to be found again."""
PATHS = frozenset({"path", "files", "mask"})
_TEXTS = ("InstitutionName", "InstitutionAddress", "StationName", "StudyDescription", "SeriesDescription")
_TEXTS += ("ProtocolName", "PatientAddress", "ImageComments", "PatientComments", "AdditionalPatientHistory")
_TEXTS += ("RequestedProcedureDescription", "OtherPatientIDs", "DeviceSerialNumber")
_PEOPLE = ("PatientName", "ReferringPhysicianName", "OperatorsName", "PatientMotherBirthName", "OtherPatientNames")


def write_ecg(folder: Path) -> None:
    """WFDB with a name in comments and paths; a table of labels; one of reports."""
    write(folder, ecg_patients=12, eeg_subjects=0)
    add_reports(folder)
    _rename(folder)
    for path in folder.rglob("*.hea"):
        head = _placed(path.read_bytes().decode("latin-1"))
        path.write_bytes(f"{head}# {PERSON}, born 1931-07-19, {NUMBER}\n".encode("latin-1"))
    for path in (folder / "ecg" / "labels.csv", folder / "reports" / "ecg" / "reports.csv"):
        _plant_table(path, "patient")


def write_eeg(folder: Path) -> None:
    """EDF with a name in its header; a table of labels."""
    write(folder, ecg_patients=0, eeg_subjects=8)
    _rename(folder)
    for path in (folder / "eeg").rglob("*.edf"):
        content = path.read_bytes()
        channels = int(content[252:256])
        patient = f"{NUMBER} F 19-JUL-1931 {PERSON.replace(' ', '_')}"
        recording = f"Startdate 19-JUL-1931 {' '.join(3 * [PERSON.replace(' ', '_')])}"
        content = content[:8] + f"{patient:<80}{recording:<80}".encode()[:160] + content[168:]
        transducer, prefiltering = 256 + 16 * channels, 256 + 136 * channels
        for at in (transducer, prefiltering):
            content = content[:at] + channels * PERSON.ljust(80).encode() + content[at + 80 * channels :]
        path.write_bytes(content)
    _plant_table(folder / "eeg" / "labels.csv", "subject")


def write_xray(folder: Path) -> None:
    """Radiographs with reports, as DICOM; a table of labels."""
    write_radiographs(folder, 12, shape=(32, 32, 16))
    shutil.rmtree(folder / "xray_png")
    add_reports(folder)
    _rename(folder)
    for path in folder.rglob("*.dcm"):
        _plant_dicom(path)
    _plant_table(folder / "xray" / "labels.csv", "patient", folder="xray/")


def write_volumes(folder: Path) -> None:
    """Heads as NIfTI with label maps; a card and a table of labels."""
    write_mr(folder / "mr", folder / "masks" / "mr", 8, seed=3, shape=(16, 16, 8))
    write_mr_card(folder / "mr.yaml")
    _rename(folder)
    for path in folder.rglob("*.nii.gz"):
        volume = nib.load(path)
        for field in ("descrip", "intent_name", "aux_file", "db_name"):
            volume.header[field] = PERSON.encode()
        volume.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"{PERSON} {NUMBER}".encode()))
        # Not into the file that the voxels are still read from.
        nib.save(nib.Nifti1Image(np.asanyarray(volume.dataobj), volume.affine, volume.header), path)
    _plant_table(folder / "mr" / "labels.csv", "patient")


def write_series(folder: Path) -> None:
    """Chests as series of DICOM with label maps; a table of labels."""
    write_ct(folder / "ct", folder / "masks" / "ct", 8, seed=3, shape=(16, 16, 8))
    _rename(folder)
    for path in folder.rglob("*.dcm"):
        _plant_dicom(path)
    _plant_table(folder / "ct" / "labels.csv", "patient")


def _placed(text: str) -> str:
    """Codes of patients with a planted word before them, once."""
    return re.sub(r"(?<!Ypsilonde_)\b(?=[PS]\d{3,4})", "Ypsilonde_", text)


def _rename(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda one: -len(one.parts)):
        if re.match(r"[PS]\d{3,4}", path.name):
            path.rename(path.with_name(f"Ypsilonde_{path.name}"))


def _plant_table(path: Path, patient: str, folder: str = "") -> None:
    """The names of renamed files, and patients with a name in the place of a number; columns that hold more names."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        code = re.split("[/_]", row["record"])[0]
        row[patient] = f"{PERSON} {code}"
        row["record"] = folder + _placed(row["record"])
        row |= {"patient_name": PERSON, "referring_physician": PERSON, "born": "1931-07-19", "remark": TOLD}
        if "findings" in row:
            row["findings"] += TOLD
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _plant_dicom(path: Path) -> None:
    header = dcmread(path)
    for keyword in _PEOPLE:
        setattr(header, keyword, "Zyxwinkel^Quorabelle")
    for keyword in _TEXTS:
        setattr(header, keyword, PERSON[:16])
    header.PatientID = f"{NUMBER} {header.get('PatientID', '')}"
    header.PatientBirthDate = "19310719"
    header.add(DataElement(0x00091010, "LO", PERSON))
    _plant_texts(header)
    header.save_as(path)


def _plant_texts(part: Dataset) -> None:
    for item in part.get("ContentSequence", ()):
        if "TextValue" in item:
            item.TextValue = item.TextValue + TOLD
        _plant_texts(item)


WRITERS: dict[str, Callable[[Path], None]] = {
    "ecg": write_ecg,
    "eeg": write_eeg,
    "xray": write_xray,
    "mr": write_volumes,
    "ct": write_series,
}


def said(folder: Path) -> Iterator[tuple[str, bytes]]:
    """What the files of a folder say, and what their names say.

    Yields:
        Place, and small letters: of a file, of a member of an archive, of a column, of a block of a page.
    """
    for path in sorted(folder.rglob("*")):
        yield f"name of {path.name}", path.relative_to(folder).as_posix().lower().encode()
        if path.is_file():
            yield from file_texts(path)


def file_texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """What a file says: place, and small letters."""
    yield from ((f"{path.name}{place}", text.lower()) for place, text in _texts(path.read_bytes()))


def _texts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file as they stand, without the zeros of UTF-16, and whatever is packed in them."""
    if content[:4] == b"PAR1":
        yield from _columns(pq.read_table(io.BytesIO(content)))
        # The rest of the file repeats the smallest and largest values of its columns.
        return
    yield "", content
    yield ", without zeros", content.replace(b"\0", b"")
    if content[:6] == b"ARROW1":
        yield from _columns(pa.ipc.open_file(content).read_all())
    elif content[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            for name in members.namelist():
                yield from ((f" / {name}{place}", text) for place, text in _texts(members.read(name)))
    elif content[:3] == b"\x1f\x8b\x08":
        yield from ((f", unpacked{place}", text) for place, text in _texts(zlib.decompress(content, 31)))
    elif content[:4] == b"\x89PNG":
        for packed in re.finditer(rb"(?:zTXt|iTXt)[^\0]{1,79}\0[\0\1]+[^\x78]*", content):
            yield ", text", zlib.decompressobj().decompress(content[packed.end() :])
    elif b"<html" in content[:4096].lower():
        for number, block in enumerate(re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", content)):
            packed = base64.b64decode(block[: len(block) // 4 * 4])
            yield from ((f", block {number}{place}", text) for place, text in _texts(packed))


def _columns(table: pa.Table) -> Iterator[tuple[str, bytes]]:
    yield ", metadata", str(table.schema.metadata).encode()
    for name in table.column_names:
        yield f", column {name}", str(table[name].to_pylist()).encode()
