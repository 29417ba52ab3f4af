"""Objects in memory as files: arrays, and what mne, nibabel, pydicom, Pillow, pandas and pyarrow make.

A file that loses nothing is read as that of an archive is, by the readers of the wings: units, sampling rate, channels
and spacing are checked and changed there, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcl.errors import UsageError
from medcl.modality import room, wing


@dataclass(frozen=True)
class Given:
    """What the user says of arrays, which do not say it themselves.

    Args:
        sampling_rate: of a recording, in Hz.
        channels: names of the channels of a recording, in their order.
        unit: of a recording: V, mV, uV; empty is mV of an ECG, uV of an EEG.
        spacing: of a volume, in mm along x, y, z.
        about: of a data frame, what the JSON side-car of its file would say: roles, units and levels of columns.
    """

    sampling_rate: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = ""
    spacing: tuple[float, ...] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        sampling_rate: float | None = None,
        channels: Sequence[str] = (),
        unit: str = "",
        spacing: Sequence[float] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> "Given":
        """From what a call gives."""
        return cls(sampling_rate, tuple(channels), unit, None if spacing is None else tuple(spacing), about or {})


def is_dicom(x: Any) -> bool:
    """Whether an object is a data set of pydicom."""
    return hasattr(x, "SOPClassUID") and hasattr(x, "save_as")


def write(x: Any, kinds: Sequence[str], place: Path, given: Given) -> None:
    """Write an object into a folder.

    Args:
        x: the object; of DICOM also all slices of a volume, a list of data sets.
        kinds: wings that may take it.
        place: an empty folder.
        given: what the user says of it.

    Raises:
        UsageError: it is no object of these wings, or something has to be said of it.
    """
    place.mkdir(parents=True)
    slices = x if isinstance(x, list | tuple) else [x]
    if slices and all(map(is_dicom, slices)):
        for number, one in enumerate(slices):
            one.save_as(place / f"{number:06d}.dcm", enforce_file_format=True)
        return
    if not any(room(kind, "objects").write(x, place, given) for kind in kinds):
        taken = "; ".join(f"{wing(kind).plural} from {room(kind, 'objects').TAKES}" for kind in kinds)
        raise UsageError(f"{_described(x)}: the encoder takes {taken}, pydicom data sets or a pathlib.Path of a file")


def _described(x: Any) -> str:
    shape = getattr(x, "shape", None)
    kind = f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")
    return kind if shape is None else f"{kind} of shape {tuple(shape)} and type {getattr(x, 'dtype', 'unknown')}"
