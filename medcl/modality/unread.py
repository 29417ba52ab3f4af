"""Formats that are known and not read: each is named, with what to do."""

from pathlib import Path

from medcl.errors import UnreadableError
from medcl.modality.formats import identify
from medcl.modality.signal.record import Signal, SignalHeader

_NIFTI = "convert it to NIfTI"
_PICTURE = "save it as PNG or JPEG"
_WHAT_TO_DO = {
    "scp-ecg": "SCP-ECG is not read: export it as DICOM, HL7 aECG or MUSE XML, or convert it to EDF with BioSig",
    "ishne": "ISHNE Holter is not read: convert it to WFDB with ishne2wfdb, or to EDF with BioSig",
    "nihon-kohden": "Nihon Kohden is not read: export it as EDF+, or save it with mne.io.read_raw_nihon as .fif",
    "persyst": "Persyst is not read: export it as EDF+, or save it with mne.io.read_raw_persyst as .fif",
    "ctf": "CTF MEG is not read: save the .ds folder with mne.io.read_raw_ctf as .fif",
    "micromed": "Micromed is not read: export it as EDF+",
    "neuroscan": "Neuroscan CNT is not read: save it with mne.io.read_raw_cnt as .fif",
    "xdf": "XDF is not read: save the stream as .fif or EDF",
    "bci2000": "BCI2000 is not read: save it with mne.io.read_raw_bci2k as .fif",
    "minc": f"MINC is not read: {_NIFTI}, with mnc2nii or nibabel",
    "afni": f"AFNI's .HEAD and .BRIK are not read: {_NIFTI}, with 3dAFNItoNIFTI",
    "par-rec": f"Philips .PAR and .REC are not read: {_NIFTI}, with parrec2nii, or take the DICOM files",
    "ecat": f"ECAT is not read: {_NIFTI}, with nibabel or ecat2nifti",
    "bmp": f"BMP is not read: {_PICTURE}",
    "webp": f"WebP is not read: {_PICTURE}",
    "gif": f"GIF is not read: {_PICTURE}",
    "jpeg2000": f"JPEG 2000 is read within DICOM only: {_PICTURE}",
    "heif": f"HEIF is not read: {_PICTURE}",
}


def read_header(path: Path) -> SignalHeader:
    """Say which format it is, and how to make of it one that is read.

    Args:
        path: of the file.

    Raises:
        UnreadableError: always.
    """
    raise UnreadableError(_WHAT_TO_DO.get(identify(path) or "", "not read: a format that is not known"))


def read_signal(path: Path) -> Signal:
    """As `read_header`."""
    raise UnreadableError(_WHAT_TO_DO.get(identify(path) or "", "not read: a format that is not known"))
