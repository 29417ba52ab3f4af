"""Images: the file formats, one module each."""

from medcl.modality.content import Format, pattern, starts

_INSTEAD = "save it as PNG or JPEG"
_ONE_FRAME = ("format", "at_least")

RANK = 2
"""Place among the wings when a file is tested: behind volumes."""
FORMATS = (
    Format("jpeg", starts(b"\xff\xd8\xff"), "jpeg_png", (".jpg", ".jpeg"), packed=True, takes=_ONE_FRAME),
    Format("png", starts(b"\x89PNG\r\n\x1a\n"), "jpeg_png", (".png",), packed=True, takes=_ONE_FRAME),
    Format("tiff", pattern(rb"II[*+]\0|MM\0[*+]"), "tiff", (".tif", ".tiff"), packed=True),
    Format("dicom-image", None, "dicom", packed=True, takes=("part",), series="dicom"),
    Format("bmp", pattern(rb"BM....\0\0\0\0....[\x0c(l|]\0"), unread=f"BMP is not read: {_INSTEAD}"),
    Format("webp", pattern(rb"RIFF....WEBP"), unread=f"WebP is not read: {_INSTEAD}"),
    Format("gif", pattern(rb"GIF8[79]a"), unread=f"GIF is not read: {_INSTEAD}"),
    Format(
        "jpeg2000",
        pattern(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
        unread=f"JPEG 2000 is read within DICOM only: {_INSTEAD}",
    ),
    Format("heif", pattern(rb"....ftyp(heic|heix|mif1|avif)"), unread=f"HEIF is not read: {_INSTEAD}"),
)
"""Every format of images, in the order in which a file is tested: adding one is a module and a line here."""
