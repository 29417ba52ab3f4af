"""Small recordings in the formats of other makers, written by their definitions from (channels, samples)."""

import base64
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import mne
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import scipy.io
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from tests.modality.written import ELECTRODES, Values, waves, write_eeglab, write_fif

TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
NAME = "Planted^Name"
"""Stands in every field of these files that holds the name of a person."""


def write_mat(path: Path, values: Values, *, rate: float = 100, names: Sequence[str] = ELECTRODES) -> Path:
    """Version 5: samples x channels, with what describes them."""
    labels = np.array(names, dtype=object)
    scipy.io.savemat(path, {"data": values.T, "fs": rate, "labels": labels, "unit": "uV"})
    return path


class Mat73:
    """Writes variables as MATLAB does in version 7.3: HDF5 with the dimensions in reverse order."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, h5py.File(path, "w", userblock_size=512)
        self.refs = 0

    def __enter__(self) -> "Mat73":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"
        content = self.path.read_bytes()
        self.path.write_bytes(head + content[len(head) :])

    def numbers(self, name: str, values: NDArray[np.generic] | float, kind: str = "double") -> None:
        one = self.file.create_dataset(name, data=np.atleast_2d(np.asarray(values)).T)
        one.attrs["MATLAB_class"] = np.bytes_(kind)

    def text(self, name: str, value: str) -> h5py.Dataset:
        one = self.file.create_dataset(name, data=np.array([[ord(letter)] for letter in value], dtype="u2"))
        one.attrs["MATLAB_class"], one.attrs["MATLAB_int_decode"] = np.bytes_("char"), np.int32(2)
        return one

    def texts(self, name: str, values: Sequence[str]) -> None:
        refs = [[self.text(f"#refs#/{self.refs + i}", value).ref] for i, value in enumerate(values)]
        self.refs += len(values)
        one = self.file.create_dataset(name, data=np.array(refs, dtype=h5py.ref_dtype))
        one.attrs["MATLAB_class"] = np.bytes_("cell")

    def struct(self, name: str) -> None:
        self.file.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")


def write_mat73(path: Path, values: Values, *, rate: float = 100, names: Sequence[str] = ELECTRODES) -> Path:
    with Mat73(path) as mat:
        mat.numbers("data", values)
        mat.numbers("fs", rate)
        mat.texts("labels", names)
        mat.text("unit", "uV")
    return path


def write_eeglab73(path: Path, values: Values, *, rate: float = 100, trials: int = 1, fdt: bool = False) -> Path:
    """A .set as EEGLAB writes large ones; `trials` divide the samples into epochs; `fdt` keeps them beside."""
    points = values.shape[1] // trials
    with Mat73(path) as mat:
        mat.struct("EEG")
        mat.text("EEG/setname", NAME)
        for field, value in {"nbchan": len(values), "pnts": points, "trials": trials, "srate": rate}.items():
            mat.numbers(f"EEG/{field}", float(value))
        if fdt:
            mat.text("EEG/data", path.with_suffix(".fdt").name)
            values.T.astype("<f4").tofile(path.with_suffix(".fdt"))
        else:
            shape = (len(values), points) if trials == 1 else (len(values), points, trials)
            mat.numbers("EEG/data", values.reshape(shape, order="F").astype("f4"), "single")
        mat.struct("EEG/chanlocs")
        mat.texts("EEG/chanlocs/labels", ELECTRODES)
    return path


def write_npy(path: Path, values: Values, *, rate: float = 100, names: Sequence[str] = ELECTRODES) -> Path:
    """With the side-car file that says what it is."""
    np.save(path, values)
    about = {"sampling_rate": rate, "channels": list(names), "unit": "uV"}
    path.with_suffix(".json").write_text(json.dumps(about))
    return path


def write_csv(
    path: Path, values: Values, *, rate: float = 100, separator: str = ",", decimal: str = ".", time: str = "time"
) -> Path:
    columns = np.column_stack([np.arange(values.shape[1]) / rate, values.T])
    lines = [separator.join([time, *(f"{name} (uV)" for name in ELECTRODES)])]
    lines += [separator.join(f"{value:.6f}" for value in row).replace(".", decimal) for row in columns]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_parquet(path: Path, values: Values, *, rate: float = 100) -> Path:
    columns = {"time (ms)": np.arange(values.shape[1]) * 1000 / rate}
    columns |= {f"{name} [uV]": row for name, row in zip(ELECTRODES, values, strict=True)}
    pq.write_table(pa.table(columns), path)
    return path


def write_muse(path: Path, digital: NDArray[np.int16], *, names: Sequence[str] = EIGHT, step: float = 4.88) -> Path:
    """GE MUSE, 500 Hz: a median beat of zeros, then the rhythm (leads, samples) in steps of `step` uV."""

    def waveform(kind: str, rows: NDArray[np.int16]) -> str:
        leads = [
            f"<LeadData><LeadByteCountTotal>{2 * rows.shape[1]}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{rows.shape[1]}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{step}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{name}</LeadID><LeadSampleSize>2"
            f"</LeadSampleSize><WaveFormData>\n{base64.b64encode(row.astype('<i2').tobytes()).decode()}\n"
            "</WaveFormData></LeadData>"
            for name, row in zip(names, rows, strict=True)
        ]
        about = f"<WaveformType>{kind}</WaveformType><SampleBase>500</SampleBase><SampleExponent>0</SampleExponent>"
        return f"<Waveform>{about}{''.join(leads)}</Waveform>"

    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
        f"<PatientDemographics><PatientID>P7</PatientID><PatientLastName>{NAME}</PatientLastName></PatientDemographics>"
        f"{waveform('Median', np.zeros_like(digital[:, :300]))}{waveform('Rhythm', digital)}</RestingECG>",
        encoding="latin-1",
    )
    return path


def xli(rows: NDArray[np.int64]) -> bytes:
    """Pack leads as XLI: second differences as planes of high and low bytes, and LZW of 10 bits."""
    content = b""
    for row in rows.tolist():
        second = [0, 0] + [2 * row[i - 1] - row[i - 2] - row[i] for i in range(2, len(row))]
        # Each difference is kept one place further on; the first stands in the head.
        stored = [*row[:2], *(value + 64 for value in second[3:]), 64]
        planes = [value >> 8 & 255 for value in stored] + [value & 255 for value in stored]
        packed = _lzw(bytes(planes))
        content += struct.pack("<ihh", len(packed), 1, second[2]) + packed
    return content


def _lzw(content: bytes) -> bytes:
    table = {bytes([one]): one for one in range(256)}
    codes, held = [], b""
    for byte in content:
        longer = held + bytes([byte])
        if longer in table:
            held = longer
            continue
        codes.append(table[held])
        if len(table) <= 1022:
            table[longer] = len(table)
        held = bytes([byte])
    bits = "".join(f"{code:010b}" for code in [*codes, table[held], 1023])
    return bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))


def write_philips(path: Path, digital: NDArray[np.int64], *, packing: str = "XLI", rate: int = 500) -> Path:
    """Philips 1.04 in UTF-16: (12, samples) in steps of 5 uV. XLI keeps of III to aVF what is left over."""
    one, two = digital[:2]
    left_over = [
        two - one - digital[2],
        -digital[3] - (one + two) // 2,
        (one - digital[2]) // 2 - digital[4],
        (two + digital[2]) // 2 - digital[5],
    ]
    if packing == "XLI":
        content = base64.b64encode(xli(np.stack([one, two, *left_over, *digital[6:]]))).decode()
    elif packing == "Plain":
        content = " ".join(str(value) for value in digital.reshape(-1).tolist())
    else:
        content = base64.b64encode(digital.astype("<i2").tobytes()).decode()
    encoding = "Plain" if packing == "Plain" else "Base64"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-16"?>\n<restingecgdata xmlns="http://www3.medical.philips.com">'
        "<documentinfo><documenttype>PhilipsECG</documenttype><documentversion>1.04</documentversion></documentinfo>"
        f"<patient><generalpatientdata><patientid>P7</patientid><name><lastname>{NAME}</lastname></name>"
        "</generalpatientdata></patient><dataacquisition><signalcharacteristics>"
        f"<samplingrate>{rate}</samplingrate><signalresolution>5</signalresolution></signalcharacteristics>"
        f'</dataacquisition><waveforms><parsedwaveforms dataencoding="{encoding}" compression="{packing}" '
        f'numberofleads="12" durationperchannel="{digital.shape[1] * 1000 // rate}" leadlabels="{" ".join(TWELVE)}">'
        f"{content}</parsedwaveforms></waveforms></restingecgdata>",
        encoding="utf-16",
    )
    return path


def write_aecg(path: Path, digital: NDArray[np.int64], *, names: Sequence[str] = TWELVE, step: float = 5) -> Path:
    """HL7 aECG at 500 Hz, in steps of `step` uV."""
    sequence = "<component><sequence><code code='{}'/><value>{}</value></sequence></component>"
    parts = [sequence.format("TIME_ABSOLUTE", "<head value='20260101'/><increment value='0.002' unit='s'/>")]
    for name, row in zip(names, digital.tolist(), strict=True):
        digits = (
            f"<origin value='0' unit='uV'/><scale value='{step}' unit='uV'/><digits>{' '.join(map(str, row))}</digits>"
        )
        parts.append(sequence.format(f"MDC_ECG_LEAD_{name.upper()}", digits))
    path.write_text(
        "<?xml version='1.0' encoding='UTF-8'?><AnnotatedECG xmlns='urn:hl7-org:v3'><componentOf><timepointEvent>"
        "<componentOf><subjectAssignment><subject><trialSubject><id root='1.2' extension='P7'/>"
        f"<subjectDemographicPerson><name>{NAME}</name></subjectDemographicPerson></trialSubject></subject>"
        "</subjectAssignment></componentOf></timepointEvent></componentOf><component><series><component><sequenceSet>"
        f"{''.join(parts)}</sequenceSet></component></series></component></AnnotatedECG>"
    )
    return path


def write_dicom_waveform(
    path: Path,
    digital: NDArray[np.int16],
    *,
    step: float = 2.5,
    correction: float = 1.0,
    baseline: float = 0.0,
    unit: str = "uV",
    rate: float = 500,
    big_endian: bool = False,
) -> Path:
    """A 12-lead ECG: value = digital x step x correction + baseline."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.9.1.1", generate_uid(entropy_srcs=["i"])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid(entropy_srcs=[one]) for one in "st")
    dataset.PatientID, dataset.PatientName, dataset.Modality = "P7", NAME, "ECG"
    group = Dataset()
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = digital.shape
    group.SamplingFrequency, group.WaveformBitsAllocated, group.WaveformSampleInterpretation = rate, 16, "SS"
    definitions = []
    for number in [1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8][: len(digital)]:
        one, source, units = Dataset(), Dataset(), Dataset()
        source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = f"5.6.3-9-{number}", "SCPECG", "Lead"
        units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", "unit"
        one.ChannelSourceSequence = DicomSequence([source])
        one.ChannelSensitivity, one.ChannelSensitivityCorrectionFactor = step, correction
        one.ChannelBaseline, one.ChannelSensitivityUnitsSequence = baseline, DicomSequence([units])
        one.WaveformBitsStored = 16
        definitions.append(one)
    group.ChannelDefinitionSequence = DicomSequence(definitions)
    group.WaveformData = digital.T.astype(">i2" if big_endian else "<i2").tobytes()
    dataset.WaveformSequence = DicomSequence([group])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian if big_endian else ExplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_epochs(path: Path, values: Values, *, rate: float = 100, trials: int = 5) -> Path:
    """FIF epochs of values (channels, samples) in V, cut into `trials` of one length."""
    info = mne.create_info([*ELECTRODES, "STI 014"], rate, ["eeg"] * 3 + ["stim"])
    info["subject_info"] = {"his_id": "P7", "last_name": NAME}
    every = np.vstack([values, np.zeros(values.shape[1])])
    cut = every.reshape(len(every), trials, -1).transpose(1, 0, 2)
    events = np.column_stack([np.arange(trials) * 1000, np.zeros(trials, int), np.ones(trials, int)])
    mne.EpochsArray(cut, info, events, verbose="ERROR").save(path, overwrite=True, verbose="ERROR")
    return path


def beats(leads: int = 12, samples: int = 1000) -> NDArray[np.int64]:
    """(leads, samples) of whole steps; of twelve, III to aVF follow from I and II but for rounding."""
    rows = np.rint(waves(leads, samples, scale=40)).astype(np.int64)
    if leads == 12:
        one, two = rows[:2]
        rows[2], rows[3] = two - one, -((one + two) // 2)
        rows[4], rows[5] = (one - rows[2]) // 2, (two + rows[2]) // 2
    return rows


WRITERS: dict[str, Callable[[Path], Path]] = {
    "eeglab v7.3": lambda folder: write_eeglab73(folder / "a.set", waves(scale=50)),
    "fif.gz": lambda folder: write_fif(folder / "a_raw.fif.gz", waves(scale=50e-6)),
    "fif epochs": lambda folder: write_epochs(folder / "a-epo.fif", waves(scale=50e-6)),
    "eeglab v5": lambda folder: write_eeglab(folder / "a.set", waves(scale=50)),
    "mat": lambda folder: write_mat(folder / "a.mat", waves(scale=50)),
    "mat v7.3": lambda folder: write_mat73(folder / "a.mat", waves(scale=50)),
    "npy": lambda folder: write_npy(folder / "a.npy", waves(scale=50)),
    "csv": lambda folder: write_csv(folder / "a.csv", waves(scale=50)),
    "parquet": lambda folder: write_parquet(folder / "a.parquet", waves(scale=50)),
    "muse": lambda folder: write_muse(folder / "a.xml", beats(8).astype(np.int16)),
    "philips": lambda folder: write_philips(folder / "a.xml", beats()),
    "aecg": lambda folder: write_aecg(folder / "a.xml", beats()),
    "dicom-waveform": lambda folder: write_dicom_waveform(folder / "a.dcm", beats().astype(np.int16)),
}
"""A small recording in each of these formats, into a folder of its own."""
