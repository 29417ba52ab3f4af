"""ECGs of Philips (PageWriter, IntelliSpace, TraceMaster) in XML, versions 1.03 and 1.04."""

import struct
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.formats import ecg_xml
from medcl.modality.signal.formats.ecg_xml import Values
from medcl.modality.signal.record import SignalHeader

_BITS = 10  # of an LZW code
_LAST = (1 << _BITS) - 2  # code
_BIAS = 64  # of a difference


def unpacked(content: bytes, most: int) -> list[NDArray[np.int64]]:
    """Unpack the samples of each chunk, which is a lead.

    Args:
        content: chunks of a head (bytes that follow, two bytes of no concern, first difference) and LZW codes.
        most: samples that a chunk may have.

    Raises:
        UnreadableError: a chunk is cut, damaged or longer.
    """
    leads, place = [], 0
    while place < len(content):
        if place + 8 > len(content):
            raise UnreadableError("truncated samples: they end within the head of a lead")
        size, _, first = struct.unpack_from("<ihh", content, place)
        if not 0 < size <= len(content) - place - 8:
            raise UnreadableError("truncated samples: they end within a lead")
        chunk = content[place + 8 : place + 8 + size]
        leads.append(_integrated(_lzw(chunk, 2 * most + 2), first))
        place += 8 + size
    return leads


def _integrated(planes: bytes, first: int) -> NDArray[np.int64]:
    """Samples from their second differences, whose high bytes stand before all low ones."""
    count = (len(planes) + 1) // 2
    high, low = np.frombuffer(planes.ljust(2 * count, b"\0"), np.uint8).reshape(2, count).astype(np.int64)
    values = ((high << 8 | low) ^ 0x8000) - 0x8000
    samples, last = values[:2].tolist(), first
    for difference in values[2:].tolist():
        samples.append(2 * samples[-1] - samples[-2] - last)
        last = difference - _BIAS
    if max(map(abs, samples), default=0) > 1 << 15:
        raise UnreadableError("damaged samples: their differences lead out of 16 bits")
    return np.array(samples, dtype=np.int64)


def _lzw(chunk: bytes, most: int) -> bytes:
    table = [bytes([one]) for one in range(256)]
    previous, result, length = b"", [], 0
    for code in _codes(chunk):
        if code > _LAST:
            break
        if code < len(table):
            entry = table[code]
        elif previous and code == len(table):
            entry = previous + previous[:1]
        else:
            raise UnreadableError("damaged samples: a code that stands for nothing")
        if previous and len(table) <= _LAST:
            table.append(previous + entry[:1])
        previous = entry
        result.append(entry)
        length += len(entry)
        if length > most:
            raise UnreadableError("damaged samples: more of them than the header says")
    return b"".join(result)


def _codes(chunk: bytes) -> Iterator[int]:
    held = bits = 0
    for byte in chunk:
        held, bits = (held << 8 | byte) & 0xFFFFFF, bits + 8
        if bits >= _BITS:
            bits -= _BITS
            yield held >> bits & (1 << _BITS) - 1


_TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_MOST = 1 << 24  # samples a lead
_SLACK = 2  # digital steps by which rounding may part III from II - I


def _read(path: Path) -> tuple[SignalHeader, Values]:
    """Read an ECG.

    Raises:
        UnreadableError: it is damaged, or its samples are packed in a way that is not known.
    """
    root = ecg_xml.parse(path)
    about, data = root.find(".//signalcharacteristics"), root.find(".//parsedwaveforms")
    if about is None or data is None:
        raise UnreadableError("no signal: the file holds no samples (parsedwaveforms); export it with them")
    rate = ecg_xml.number(about, "samplingrate", "the sampling rate")
    resolution = "signalresolution" if about.find("signalresolution") is not None else "resolution"
    step = ecg_xml.number(about, resolution, "the size of a digital step")
    names = _names(about, data)
    milliseconds = data.get("durationperchannel", "")
    count = int(int(milliseconds) * rate / 1000) if milliseconds.isdigit() and 0 < rate < 1e5 else None
    if count is not None and not 0 < count <= _MOST:
        raise UnreadableError("damaged header: a duration that no ECG has")
    every = _samples(data, names, count)
    patient = ecg_xml.text(root, ".//patientid")
    stated = [(name, "uV", values * step) for name, values in zip(names, every, strict=True)]
    return ecg_xml.recording(path, "philips", rate, stated, ids={"patient": patient} if patient else {})


read_header, read_signal = ecg_xml.readers(_read)


def _names(about: Element, data: Element) -> list[str]:
    named = data.get("leadlabels", "").split()
    stated = data.get("numberofleads") or ecg_xml.text(about, "numberchannelsallocated")
    count = int(stated) if stated.isdigit() else len(named)
    if named and count <= len(named):
        return [{"AVR": "aVR", "AVL": "aVL", "AVF": "aVF"}.get(name.upper(), name) for name in named[:count]]
    if ecg_xml.text(about, "acquisitiontype").upper() in ("STD-12", "10-WIRE") and 0 < count <= 12:
        return list(_TWELVE[:count])
    raise UnreadableError("leads without names: only those of a 12-lead ECG are known by their order")


def _samples(data: Element, names: list[str], count: int | None) -> list[Values]:
    encoding = data.get("dataencoding", "").lower()
    packed = data.get("compressmethod") or data.get("compression") or "Uncompressed"
    if data.get("compressflag", "").lower() == "false":
        packed = "Uncompressed"
    content = (data.text or "").strip()
    if encoding != "base64":
        try:
            values = np.array(content.replace(",", " ").split(), dtype=np.float64)
        except ValueError:
            raise UnreadableError("damaged samples: they are neither base64 nor numbers") from None
        return list(_divided(values, names, count))
    raw = ecg_xml.decoded(content)
    if packed.upper() == "XLI":
        every = [lead.astype(np.float64) for lead in unpacked(raw, count or _MOST)]
        if len(every) < len(names):
            raise UnreadableError(f"truncated samples: {len(every)} leads, the header says {len(names)}")
        every = [lead[:count] for lead in every[: len(names)]]
        if count is not None and any(len(lead) < count for lead in every):
            raise UnreadableError(f"truncated samples: a lead has fewer than the {count} that the header says")
        return _limb_leads(every) if tuple(names[:6]) == _TWELVE[:6] else every
    if packed.lower() not in ("uncompressed", "none"):
        raise UnreadableError("samples packed in a way that is not known: export the ECG uncompressed, or as DICOM")
    every = list(_divided(np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.float64), names, count))
    plain = tuple(names[:6]) != _TWELVE[:6] or _is_plain(every)
    return every if plain else _limb_leads(every)


def _divided(values: Values, names: list[str], count: int | None) -> Values:
    """(leads, samples): one lead stands behind the other."""
    length = count if count is not None else len(values) // len(names)
    if length * len(names) > len(values):
        raise UnreadableError(f"truncated samples: {len(values)} of {len(names)} x {length}")
    return values[: length * len(names)].reshape(len(names), length)


def _is_plain(every: list[Values]) -> bool:
    """Whether III is a lead of its own, and not the rest that rounding leaves."""
    return bool(np.abs(every[2] - (every[1] - every[0])).max(initial=0) <= _SLACK)


def _limb_leads(every: list[Values]) -> list[Values]:
    """XLI keeps of III to aVF what is left when they are computed from I and II in whole steps."""
    one, two = every[:2]
    three = two - one - every[2]
    right = -every[3] - np.floor((one + two) / 2)
    left = np.floor((one - three) / 2) - every[4]
    foot = np.floor((two + three) / 2) - every[5]
    return [one, two, three, right, left, foot, *every[6:]]
