"""ECGs as GE MUSE exports them in XML: 16-bit samples in base64, most often of I, II and V1 to V6."""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.signal.formats import ecg_xml
from medcl.modality.signal.formats.ecg_xml import Values
from medcl.modality.signal.record import SignalHeader

_UNITS = {"MICROVOLTS": "uV", "MICROVOLT": "uV", "MILLIVOLTS": "mV", "MILLIVOLT": "mV", "VOLTS": "V"}
_NAMES = {"AVR": "aVR", "AVL": "aVL", "AVF": "aVF"}


def _read(path: Path) -> tuple[SignalHeader, Values]:
    """Read an ECG: the rhythm, not the median beat.

    Limb leads that the file leaves out are computed from I and II: a flag says which.

    Raises:
        UnreadableError: it is damaged, holds no rhythm, or a rate or unit is missing.
    """
    root = ecg_xml.parse(path)
    waveforms = root.findall("Waveform")
    rhythm = [each for each in waveforms if ecg_xml.text(each, "WaveformType").upper() == "RHYTHM"]
    if not rhythm:
        raise UnreadableError("no rhythm: the file holds only a median beat, or no samples at all; export it with them")
    flags = () if len(rhythm) == 1 else ("several rhythms, the first was read",)
    rate = ecg_xml.number(rhythm[0], "SampleBase", "the sampling rate") * 10 ** _exponent(rhythm[0])
    stated = [_lead(data) for data in rhythm[0].findall("LeadData")]
    off = [lead[0] for lead, data in zip(stated, rhythm[0].findall("LeadData"), strict=True) if _is_off(data)]
    every, computed = ecg_xml.with_limb_leads(stated)
    flags = (*flags, *computed, *((f"leads off during the recording: {', '.join(off)}",) if off else ()))
    patient = ecg_xml.text(root, "PatientDemographics/PatientID")
    return ecg_xml.recording(path, "muse", rate, every, ids={"patient": patient} if patient else {}, flags=flags)


read_header, read_signal = ecg_xml.readers(_read)


def _exponent(waveform: Element) -> int:
    stated = ecg_xml.text(waveform, "SampleExponent") or "0"
    if stated.lstrip("-").isdigit() and abs(int(stated)) <= 6:
        return int(stated)
    raise UnreadableError("damaged header: the exponent of the sampling rate is no number")


def _lead(data: Element) -> tuple[str, str, Values]:
    name = ecg_xml.text(data, "LeadID") or "?"
    if (ecg_xml.text(data, "LeadSampleSize") or "2") != "2":
        raise UnreadableError("samples that are not of two bytes: MUSE defines no others")
    content = ecg_xml.decoded(ecg_xml.text(data, "WaveFormData"))
    for field, size in (("LeadByteCountTotal", 1), ("LeadSampleCountTotal", 2)):
        expected = ecg_xml.text(data, field)
        if expected.isdigit() and int(expected) * size != len(content):
            raise UnreadableError(f"truncated samples: {len(content)} bytes, {field} says {int(expected) * size}")
    if len(content) % 2:
        raise UnreadableError("truncated samples: an odd number of bytes")
    unit = _UNITS.get(ecg_xml.text(data, "LeadAmplitudeUnits").upper(), "")
    step = ecg_xml.number(data, "LeadAmplitudeUnitsPerBit", "the size of a digital step")
    return _NAMES.get(name.upper(), name), unit, np.frombuffer(content, "<i2") * step


def _is_off(data: Element) -> bool:
    return ecg_xml.text(data, "LeadOff").upper() == "TRUE"
