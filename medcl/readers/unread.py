"""Formats that are known by their content and not read: each is a reason that says what to do."""

from pathlib import Path

from medcl.errors import UnreadableError
from medcl.readers.formats import identify
from medcl.readers.signal import Signal, SignalHeader

_WHAT_TO_DO = {
    "scp-ecg": "SCP-ECG (EN 1064): export it as DICOM, HL7 aECG or MUSE XML, or convert it to EDF with BioSig",
    "ishne": "ISHNE Holter: convert it to WFDB with ishne2wfdb, or to EDF with BioSig",
    "nihon-kohden": "Nihon Kohden: export it as EDF+, or save it with mne.io.read_raw_nihon as .fif",
    "persyst": "Persyst: export it as EDF+, or save it with mne.io.read_raw_persyst as .fif",
    "ctf": "CTF MEG: save the .ds folder with mne.io.read_raw_ctf as .fif",
    "micromed": "Micromed: export it as EDF+",
    "neuroscan": "Neuroscan CNT: save it with mne.io.read_raw_cnt as .fif",
    "xdf": "XDF: save the stream as .fif or EDF",
    "bci2000": "BCI2000: save it with mne.io.read_raw_bci2k as .fif",
}


def read_header(path: Path) -> SignalHeader:
    """Say which format it is, and how to make of it one that is read.

    Args:
        path: of the file.

    Raises:
        UnreadableError: always.
    """
    raise UnreadableError(f"not read: {_WHAT_TO_DO.get(identify(path) or '', 'a format that is not known')}")


def read_signal(path: Path) -> Signal:
    """As `read_header`."""
    raise UnreadableError(f"not read: {_WHAT_TO_DO.get(identify(path) or '', 'a format that is not known')}")
