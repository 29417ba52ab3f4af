"""Formats of volumes and pictures that are known and not read: each is named, with what to do."""

_NIFTI = "convert it to NIfTI"
_PICTURE = "save it as PNG or JPEG"
UNREAD = {
    "minc": f"MINC is not read: {_NIFTI}, with mnc2nii or nibabel",
    "afni": f"AFNI's .HEAD and .BRIK are not read: {_NIFTI}, with 3dAFNItoNIFTI",
    "par-rec": f"Philips .PAR and .REC are not read: {_NIFTI}, with parrec2nii, or take the DICOM files",
    "ecat": f"ECAT is not read: {_NIFTI}, with nibabel or ecat2nifti",
    "tiff": f"TIFF is not read: {_PICTURE}; cut a whole slide into tiles first",
    "bmp": f"BMP is not read: {_PICTURE}",
    "webp": f"WebP is not read: {_PICTURE}",
    "gif": f"GIF is not read: {_PICTURE}",
    "jpeg2000": f"JPEG 2000 is read within DICOM only: {_PICTURE}",
    "heif": f"HEIF is not read: {_PICTURE}",
}
"""Format -> why it is refused."""
_STARTS = {
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jpeg2000",
    b"\xff\x4f\xff\x51": "jpeg2000",
    b"MATRIX7": "ecat",
}
_BMP = (b"\x0c\0", b"(\0", b"l\0", b"|\0")  # lengths of the headers that BMP has
_HDF5, _NETCDF = b"\x89HDF\r\n\x1a\n", b"CDF"


def unread(head: bytes, suffix: str) -> str | None:
    """The format of a file that is not read.

    Args:
        head: its first bytes, unpacked.
        suffix: of its name, in lower case.

    Returns:
        One of `UNREAD`, None where the file is something else.
    """
    for start, form in _STARTS.items():
        if head.startswith(start):
            return form
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"BM") and head[6:10] == bytes(4) and head[14:16] in _BMP:
        return "bmp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        return "heif"
    if suffix == ".mnc" and head.startswith((_HDF5, _NETCDF)):
        return "minc"
    if suffix == ".head" and b"type = string-attribute" in head:
        return "afni"
    if suffix == ".par" and b"DATA DESCRIPTION FILE" in head:
        return "par-rec"
    return None
