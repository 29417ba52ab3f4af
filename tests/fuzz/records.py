"""Small sound recordings, volumes, images and reports in every format, and how a scan and `prepare` read them."""

import gzip
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from medcl.archive.dicom_file_record import read_coded
from medcl.archive.identity import code
from medcl.errors import UnreadableError
from medcl.modality import formats
from medcl.modality.dicom.slice import read_slices
from medcl.modality.dicom.stacks import stacks_of
from medcl.modality.formats import read_image
from medcl.modality.report.record import identify_report, read_reports
from medcl.modality.table.formats.tables import read_tables
from medcl.modality.volume.formats import dicom
from tests.archive import every_format
from tests.modality.dicom import dicom_files
from tests.modality.report import test_record as test_report
from tests.modality.report.formats import test_report_formats
from tests.modality.signal.formats import write_signals
from tests.modality.written import waves, write_edf, write_wfdb

Write = Callable[[Path], object]
HEADERS = (".hea", ".vhdr", ".set", ".mhd", ".hdr")
"""The file of a record that names its others."""


def read_record(folder: Path) -> Any:
    """All that a scan reads of the record in a folder, and all that `prepare` does."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if any(formats.identify(path) == "dicom" for path in paths):
        return read_dicom(folder, paths)
    # Beside the samples of an .npy lies a .json that describes them.
    paths = [path for path in paths if path.suffix != ".json"] or paths
    path = next((path for path in paths if path.suffix in HEADERS), paths[0])
    form = formats.identify(path)
    if form is None:
        raise UnreadableError("the content is in no known format")
    headers = formats.read_headers(path, form, verify=True)
    read: dict[str, Callable[[Path, str], Any]] = {
        "image": formats.read_image,
        "volume": formats.read_volume,
        "table": lambda path, _: read_tables(path),
    }
    return headers, read.get(formats.WING[form], formats.read_signal)(path, form)


def read_dicom(folder: Path, paths: list[Path]) -> Any:
    """The slices of all files, the volumes that they make and each frame as an image: one must be readable."""
    slices, read, refused = [], [], []
    for path in paths:
        try:
            coded = read_coded(folder, path.name, None, b"the salt of the tests")
            assert code("patient", "x", b"the salt of the tests") != coded.patient
            slices += read_slices(path, folder)
        except UnreadableError as error:
            refused.append(error)
    for path in paths[:1] if len(paths) == 1 else []:
        for frame in range(min(2, len(slices))):
            try:
                read.append(read_image(path, "dicom-image", frame))
            except UnreadableError as error:
                refused.append(error)
    for stack in stacks_of(slices) if slices else ():
        try:
            read.append(dicom.read_volume(stack, folder))
        except UnreadableError as error:
            refused.append(error)
    if not read:
        raise refused[-1]
    return read, len(refused)


def read_report(folder: Path) -> Any:
    """The report in a folder."""
    (path,) = folder.iterdir()
    form = identify_report(path)
    if form is None:
        raise UnreadableError("no report")
    return read_reports(path, form)


def packed(write: Write, name: str, folder: Path) -> None:
    """What a writer writes, packed with gzip."""
    write(folder)
    path = folder / name
    (folder / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def wfdb(storage: str, folder: Path) -> None:
    digital = np.random.default_rng(0).integers(-500, 500, (3, 600))
    write_wfdb(folder, "a", np.clip(digital, -100, 100) if storage in ("8", "80") else digital, storage=storage)


def wfdb_segments(folder: Path) -> None:
    for name in "bc":
        write_wfdb(folder, name, write_signals.beats(3))
    (folder / "a.hea").write_text("a/3 3 250 2500\nb 1000\n~ 500\nc 1000\n")


def dicom_written(how: str, folder: Path) -> None:
    """A radiograph, with its pixels or its whole content compressed."""
    path = dicom_files.radiograph(folder / "a.dcm")
    made = pydicom.dcmread(path)
    made.Rows, made.Columns = 24, 32
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32)).astype(np.uint8)
    kinds = {"jpeg": ("JPEG", JPEGBaseline8Bit), "jpeg-2000": ("JPEG2000", JPEG2000)}
    if how in kinds:
        made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kinds[how][0])
        made.PixelData = encapsulate([stream.getvalue()])
        made["PixelData"].VR = "OB"
        made.file_meta.TransferSyntaxUID = kinds[how][1]
    else:
        made.PixelData = pixels.astype(np.uint16).tobytes()
        if how == "rle":
            made.compress(RLELossless, generate_instance_uid=False)
        elif how == "deflated":
            made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        else:
            made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True, implicit_vr=how == "implicit", little_endian=True)


def edf_plain(folder: Path) -> None:
    write_edf(folder / "a.edf", waves(scale=50))


def tsv(folder: Path) -> None:
    write_signals.write_csv(folder / "a.tsv", waves(scale=50), separator="\t")


def image(mode: str, folder: Path) -> None:
    name, mode, options = {
        "png16": ("a.png", "I;16", {}),
        "palette": ("a.png", "P", {}),
        "tiff16": ("a.tif", "I;16", {"compression": "tiff_adobe_deflate"}),
        "colours": ("a.jpg", "RGB", {"progressive": True}),
    }[mode]
    every_format.pixels().convert("L").convert(mode).save(folder / name, **options)


def report(name: str, content: str | bytes, folder: Path) -> None:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


PDF = b"BT /F 12 Tf 10 200 Td (FINDINGS: normal.) Tj 0 -20 Td (IMPRESSION: none.) Tj ET"
DOCX = "<w:p><w:r><w:t>FINDINGS: Clear</w:t></w:r><w:r><w:tab/><w:t>lungs, 3 mm.</w:t></w:r></w:p>"
RECORDS: dict[str, Write] = {
    **every_format.WRITERS,
    **{name: write for name, write in write_signals.WRITERS.items() if name not in every_format.WRITERS},
    "edf of edfio": edf_plain,
    "tsv": tsv,
    "nifti.gz": partial(packed, every_format.nifti, "a.nii"),
    **{f"wfdb {storage}": partial(wfdb, storage) for storage in ("8", "80", "212", "310", "311", "24", "516")},
    "wfdb segments": wfdb_segments,
    "png 16 bits": partial(image, "png16"),
    "png palette": partial(image, "palette"),
    "tiff 16 bits": partial(image, "tiff16"),
    "jpeg progressive": partial(image, "colours"),
    "dicom radiograph": lambda folder: dicom_files.radiograph(folder / "a.dcm"),
    "dicom enhanced": lambda folder: dicom_files.enhanced(folder / "a.dcm"),
    **{f"dicom {how}": partial(dicom_written, how) for how in ("jpeg", "jpeg-2000", "rle", "deflated", "implicit")},
}
REPORTS: dict[str, Write] = {
    "report text": partial(report, "a.txt", "Findings: no effusion, 3 cm mass.\nImpression: normal\n"),
    "report xml": partial(report, "a.xml", test_report.OPEN_I),
    "report rtf": partial(report, "a.rtf", test_report_formats.RTF),
    "report html": partial(report, "a.html", test_report_formats.HTML),
    "report c-cda": partial(report, "a.xml", test_report_formats.CDA),
    "report pdf": partial(report, "a.pdf", test_report_formats.pdf(PDF)),
    "report docx": partial(report, "a.docx", test_report_formats.docx(DOCX)),
    "report hl7": partial(report, "a.hl7", test_report_formats.HL7),
    "report sr": lambda folder: test_report.structured(folder / "a.dcm"),
}
