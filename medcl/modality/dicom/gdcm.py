"""GDCM itself, for the one compression that pydicom does not give to it, and what it writes to the terminal."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.modality.dicom.claims import Claims

_LOCK = threading.Lock()


def decode_with_gdcm(data: bytes, claims: Claims) -> NDArray[Any]:
    """Decode a frame of extended JPEG with 12 bits.

    Args:
        data: of the frame, grey.
        claims: of the header, with 16 bits a pixel.

    Returns:
        (rows, columns), 16 bits.

    Raises:
        ValueError: it is damaged.
    """
    import gdcm

    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(data)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((claims.columns, claims.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, int(claims.kind == "i")))
    with quiet_gdcm():
        # Bytes come as text, each that is not ASCII escaped.
        values = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(values, f"<{claims.kind}2").reshape(claims.rows, claims.columns)


@contextmanager
def quiet_gdcm() -> Iterator[None]:
    """Keep the messages that GDCM writes to standard error, past Python, off the terminal."""
    with _LOCK:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
