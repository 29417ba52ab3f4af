"""Volumes: the file formats, one module each."""

from medcl.modality import content
from medcl.modality.content import Format, named, pattern, starts

_INSTEAD = "convert it to NIfTI"

RANK = 1
"""Place among the wings when a file is tested: before images, for a series of DICOM is a volume where it can be one."""
FORMATS = (
    # Every DICOM object that is no waveform, until its series is known: of images it becomes `dicom-image`.
    Format("dicom", content.is_dicom, suffixes=(".dcm",), packed=True, series="dicom"),
    Format("nifti", content.is_nifti, "nifti", (".nii", ".nii.gz")),
    Format("mgh", content.is_mgh, "mgh", (".mgh", ".mgz")),
    Format("nrrd", starts(b"NRRD000"), "nrrd", (".nrrd", ".nhdr")),
    Format("metaimage", content.is_metaimage, "metaimage", (".mha", ".mhd")),
    Format(
        "minc",
        named(".mnc", pattern(rb"\x89HDF\r\n\x1a\n|CDF")),
        unread=f"MINC is not read: {_INSTEAD}, with mnc2nii or nibabel",
    ),
    Format(
        "afni",
        named(".head", pattern(rb".*type = string-attribute")),
        unread=f"AFNI's .HEAD and .BRIK are not read: {_INSTEAD}, with 3dAFNItoNIFTI",
    ),
    Format(
        "par-rec",
        named(".par", pattern(rb".*DATA DESCRIPTION FILE")),
        unread=f"Philips .PAR and .REC are not read: {_INSTEAD}, with parrec2nii, or take the DICOM files",
    ),
    Format("ecat", starts(b"MATRIX7"), unread=f"ECAT is not read: {_INSTEAD}, with nibabel or ecat2nifti"),
)
"""Every format of volumes, in the order in which a file is tested: adding one is a module and a line here."""
