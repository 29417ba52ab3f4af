"""ECGs as HL7 annotated ECG (aECG): XML with samples as digits."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import canonical, canonical_unit
from medcl.modality.signal.formats import ecg_xml
from medcl.modality.signal.formats.ecg_xml import Values
from medcl.modality.signal.record import SignalHeader

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def _read(path: Path) -> tuple[SignalHeader, Values]:
    """Read an ECG: the rhythm of the first series; derived series, such as representative beats, are not.

    Raises:
        UnreadableError: it is damaged, or holds no samples at an even rate.
    """
    root = ecg_xml.parse(path)
    sets = root.findall("component/series/component/sequenceSet")
    if not sets:
        raise UnreadableError("no signal: the file holds no series of samples")
    sequences = [each for each in sets[0].findall("component/sequence") if each.find("value") is not None]
    rate, stated = None, []
    for sequence in sequences:
        name, value = _attribute(sequence, "code", "code"), sequence.find("value")
        if name in ("TIME_ABSOLUTE", "TIME_RELATIVE"):
            rate = _rate(sequence)
        elif value is not None and value.find("digits") is not None:
            stated.append((canonical(name), canonical_unit(_attribute(value, "scale", "unit")), _values(value)))
    if rate is None:
        raise UnreadableError("unknown sampling rate: the samples have no even time")
    flags = (f"series aside: {len(sets) - 1}",) if len(sets) > 1 else ()
    subject = root.find(".//trialSubject/id")
    patient = "" if subject is None else (subject.get("extension") or "").strip()
    return ecg_xml.recording(path, "aecg", rate, stated, ids={"patient": patient} if patient else {}, flags=flags)


read_header, read_signal = ecg_xml.readers(_read)


def _rate(sequence: Element) -> float:
    unit = _attribute(sequence, "value/increment", "unit")
    step = _number(_attribute(sequence, "value/increment", "value"), "the step of time") * _SECONDS.get(unit, 0.0)
    if not 0 < step < 10:
        raise UnreadableError("unknown sampling rate: the step of time has no unit of seconds")
    rate = 1 / step
    # A step is printed to some digits: 0.002778 s means 360 Hz.
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate and rate > 10 else rate


def _values(value: Element) -> Values:
    digits = ecg_xml.text(value, "digits")
    if re.fullmatch(r"[-+\d.eE\s]*", digits) is None:
        raise UnreadableError("damaged samples: a digit that is no number")
    try:
        numbers = np.array(digits.split(), dtype=np.float64)
    except ValueError:
        raise UnreadableError("damaged samples: a digit that is no number") from None
    origin = _attribute(value, "origin", "value")
    scale = _number(_attribute(value, "scale", "value"), "the scale of a lead")
    same_unit = _attribute(value, "origin", "unit") in ("", _attribute(value, "scale", "unit"))
    zero = _number(origin, "the origin of a lead") if origin else 0.0
    if zero and not same_unit:
        raise UnreadableError("the origin and the scale of a lead are in two units")
    return numbers * scale + zero


def _attribute(element: Element, path: str, name: str) -> str:
    found = element.find(path)
    return "" if found is None else (found.get(name) or "").strip()


def _number(stated: str, what: str) -> float:
    try:
        return float(stated)
    except ValueError:
        raise UnreadableError(f"damaged header: {what} is no number") from None
