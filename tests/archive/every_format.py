"""A small sound file in every format, with the name of a person in each field that holds text."""

import json
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import scipy.io
from edfio import Edf, EdfAnnotation, EdfSignal, Patient, Recording
from nibabel.freesurfer.mghformat import MGHImage
from PIL import Image, PngImagePlugin, TiffImagePlugin
from pydicom.dataelem import DataElement

from tests.modality.dicom import dicom_files
from tests.modality.signal.formats import write_signals
from tests.modality.written import ELECTRODES, waves, write_bdf, write_brainvision, write_gdf, write_wfdb

PERSON = "Smith_Jane"
BORN = "1950-02-03"
EEG = waves(scale=50)
WORDS = ("smith", "jane", "planted", "1950-", "feb-", "19500203", "1950:02")
"""None of these may be met in anything that medcl writes or says."""


def wfdb(folder: Path) -> None:
    path = write_wfdb(folder, "a", write_signals.beats(3))
    record, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{record} 12:00:00 03/02/1950", *lines, f"# {PERSON}, born {BORN}"]) + "\n")


def edf(folder: Path) -> None:
    signals = [
        EdfSignal(row, 100, label=name, transducer_type=PERSON, prefiltering=PERSON, physical_dimension="uV")
        for name, row in zip(ELECTRODES, EEG, strict=True)
    ]
    signals += [EdfSignal(EEG[0], 100, label="EEG Smith", physical_dimension="uV")]
    signals += [EdfSignal(EEG[0], 100, label="room", physical_dimension="Jane")]
    born = date(1950, 2, 3)
    patient = Patient(code="P7", sex="F", birthdate=born, name=PERSON, additional=(PERSON,))
    recording = Recording(
        startdate=date(2001, 2, 3),
        hospital_administration_code=PERSON,
        investigator_technician_code=PERSON,
        equipment_code=PERSON,
    )
    said = [EdfAnnotation(1, None, f"{PERSON} {BORN}")]
    Edf(signals, patient=patient, recording=recording, data_record_duration=1, annotations=said).write(folder / "a.edf")


def bdf(folder: Path) -> None:
    path = write_bdf(folder / "a.bdf", EEG)
    content = path.read_bytes()
    patient, recording = f"P7 F 03-FEB-1950 {PERSON}", f"Startdate 03-FEB-1950 {PERSON} {PERSON} {PERSON}"
    path.write_bytes(content[:8] + f"{patient:<80}{recording:<80}".encode() + content[168:])


def gdf(folder: Path) -> None:
    path = write_gdf(folder / "a.gdf", EEG)
    content = path.read_bytes()
    head = content[:8] + f"P7 {PERSON}".ljust(80).encode() + PERSON.ljust(80).encode() + content[168:]
    path.write_bytes(head.replace(b"O2".ljust(16), b"Smith".ljust(16)))


def fif(folder: Path) -> None:
    info = mne.create_info([*ELECTRODES, "Smith", "STI 014"], 100, ["eeg"] * 4 + ["stim"])
    born = date(1950, 2, 3)
    info["subject_info"] = {"his_id": "P7", "last_name": PERSON, "first_name": PERSON, "birthday": born}
    info["description"], info["experimenter"] = f"{PERSON} {BORN}", PERSON
    raw = mne.io.RawArray(np.vstack([EEG, EEG[0], 0 * EEG[0]]) * 1e-6, info, verbose="ERROR")
    raw.set_meas_date(datetime(1950, 2, 3, tzinfo=UTC))
    raw.set_annotations(mne.Annotations([1.0], [0.0], [PERSON], orig_time=raw.info["meas_date"]))
    raw.save(folder / "a_raw.fif", verbose="ERROR")


def brainvision(folder: Path) -> None:
    path = write_brainvision(folder, "a", EEG)
    impedances = f"\n[Comment]\n{PERSON}, born {BORN}\nImpedance [kOhm] at {PERSON} :\n{PERSON}: 5\n"
    path.write_text(path.read_text(encoding="utf-8") + impedances, encoding="utf-8")
    markers = path.with_suffix(".vmrk")
    markers.write_text(markers.read_text(encoding="utf-8") + f"Mk2=Comment,{PERSON} {BORN},10,1,0\n", encoding="utf-8")


def eeglab(folder: Path) -> None:
    locations = np.array([(name,) for name in ELECTRODES], dtype=[("labels", object)])
    about = dict.fromkeys(("setname", "comments", "subject", "condition", "group", "filename", "filepath"), PERSON)
    sizes = {"nbchan": 3, "pnts": EEG.shape[1], "trials": 1, "srate": 100.0, "xmin": 0.0, "xmax": 4.99}
    rest = {"chanlocs": locations, "event": [], "epoch": [], "ref": "common", "data": EEG}
    scipy.io.savemat(folder / "a.set", {"EEG": about | sizes | rest}, appendmat=False)


def mat(folder: Path) -> None:
    labels = np.array(ELECTRODES, dtype=object)
    about = {"data": EEG.T, "fs": 100.0, "labels": labels, "unit": "uV", "subject": PERSON, "born": BORN}
    scipy.io.savemat(folder / "a.mat", about)


def npy(folder: Path) -> None:
    path = write_signals.write_npy(folder / "a.npy", EEG).with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"subject": PERSON, "born": BORN}))


def table(folder: Path) -> None:
    path = write_signals.write_parquet(folder / "a.parquet", EEG)
    stored = pq.read_table(path)
    pq.write_table(stored.replace_schema_metadata({"patient": PERSON, "born": BORN}), path)


def nifti(folder: Path) -> None:
    volume = nib.Nifti1Image(np.random.default_rng(0).integers(0, 999, (6, 7, 8)).astype(np.int16), np.eye(4))
    for field in ("descrip", "intent_name", "aux_file", "db_name"):
        volume.header[field] = PERSON.encode()
    volume.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"{PERSON} {BORN}".encode()))
    nib.save(volume, folder / "a.nii")


def dicom(folder: Path) -> None:
    people = ("PatientName", "ReferringPhysicianName", "OperatorsName", "PatientMotherBirthName")
    texts = ("InstitutionName", "StudyDescription", "SeriesDescription", "ProtocolName", "PatientAddress", "PatientID")
    texts += ("AccessionNumber", "StationName", "ImageComments", "PatientComments", "AdditionalPatientHistory")
    changes = dict.fromkeys(people, "Smith^Jane") | dict.fromkeys(texts, PERSON)
    for number in range(3):
        one = dicom_files.dataset(number, **changes, PatientBirthDate="19500203")
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "SMITH_JANE"]
        one.add(DataElement(0x00091010, "LO", PERSON))
        one.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def pixels() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8))


def jpeg(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x013B], exif[0x010E], exif[0x0132] = PERSON, f"{PERSON} {BORN}", "1950:02:03 00:00:00"
    pixels().save(folder / "a.jpg", exif=exif, comment=f"{PERSON} {BORN}".encode())


def png(folder: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", PERSON)
    texts.add_itxt("Description", f"{PERSON} {BORN}")
    pixels().save(folder / "a.png", pnginfo=texts)


def tiff(folder: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (269, 270, 285, 305, 315, 316, 33432):  # names of the document, the page, the software, the artist, ...
        tags[tag] = f"{PERSON} {BORN}"
    tags[306] = "1950:02:03 00:00:00"
    pixels().save(folder / "a.tif", tiffinfo=tags, compression="tiff_lzw")


def nrrd(folder: Path) -> None:
    head = "NRRD0005\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 6 7 8\nendian: little\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\n"
    head += f"content: {PERSON}\n# {PERSON} {BORN}\npatient:={PERSON}\n\n"
    voxels = np.random.default_rng(0).integers(0, 999, 6 * 7 * 8).astype("<i2").tobytes()
    (folder / "a.nrrd").write_bytes(head.encode() + voxels)


def mgh(folder: Path) -> None:
    """What stands behind the voxels are tags; one of them is the command line that made the file."""
    voxels = np.random.default_rng(0).integers(0, 999, (6, 7, 8)).astype(np.int16)
    MGHImage(voxels, np.eye(4, dtype=np.float32)).to_filename(folder / "a.mgh")
    said = f"{PERSON} {BORN}\0".encode()
    with (folder / "a.mgh").open("ab") as file:
        file.write(struct.pack(">iq", 3, len(said)) + said)


def metaimage(folder: Path) -> None:
    head = f"Comment = {PERSON} {BORN}\nObjectType = Image\nNDims = 3\nName = {PERSON}\nBinaryData = True\n"
    head += "BinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
    head += "ElementSpacing = 1 1 1\nDimSize = 6 7 8\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (folder / "a.mha").write_bytes(head.encode() + struct.pack("<336h", *range(336)))


def patient_table(folder: Path) -> None:
    (folder / "a.csv").write_text(f"patient_id,name,born,glucose [mmol/l]\n007,{PERSON},{BORN},5.5\n")
    about = {"medcl": {"patient": "patient_id"}, "name": {"Description": PERSON}, "glucose": {"Levels": None}}
    (folder / "a.json").write_text(json.dumps(about))


def time_table(folder: Path) -> None:
    rows = ["Time,Parameter,Value", "00:00,RecordID,7", f"00:00,Name,{PERSON}", f"00:00,Born,{BORN}", "01:30,HR,80"]
    (folder / "a.txt").write_text("\n".join([*rows, "02:30,HR,81", ""]))


WRITERS: dict[str, Callable[[Path], object]] = {
    "wfdb": wfdb,
    "edf": edf,
    "bdf": bdf,
    "gdf": gdf,
    "fif": fif,
    "brainvision": brainvision,
    "eeglab": eeglab,
    "mat": mat,
    "npy": npy,
    "table": table,
    "muse": write_signals.WRITERS["muse"],
    "philips": write_signals.WRITERS["philips"],
    "aecg": write_signals.WRITERS["aecg"],
    "dicom-waveform": write_signals.WRITERS["dicom-waveform"],
    "nifti": nifti,
    "dicom": dicom,
    "jpeg": jpeg,
    "png": png,
    "tiff": tiff,
    "mgh": mgh,
    "nrrd": nrrd,
    "metaimage": metaimage,
    "patient-table": patient_table,
    "time-table": time_table,
}
"""Format -> writes one record into a folder of its own."""
