"""ECGs in XML, each format of which has a module of its own."""

from pathlib import Path

from medcl.modality.signal.formats import aecg, muse, philips
from medcl.modality.signal.formats.leads import physical_signal
from medcl.modality.signal.record import Signal, SignalHeader

_READERS = {"aecg": aecg.read, "muse": muse.read, "philips": philips.read}


def read_header(path: Path, format: str) -> SignalHeader:
    """Read what an ECG says of itself.

    Args:
        path: of the file.
        format: of the file.

    Returns:
        The header; the id is that of the patient, never the name.

    Raises:
        UnreadableError: as the module of the format says.
    """
    return _READERS[format](path)[0]


def read_signal(path: Path, format: str) -> Signal:
    """Read an ECG.

    Args:
        path: of the file.
        format: of the file.

    Returns:
        Physical values, float32, in mV.

    Raises:
        UnreadableError: as `read_header`.
    """
    return physical_signal(*_READERS[format](path))
