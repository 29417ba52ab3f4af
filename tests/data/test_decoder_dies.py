"""A picture that ends its decoder, and the process that it runs in, is one quarantined record, with one job as well."""

from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from medcl.archive.manifest import Manifest
from medcl.archive.scan import scan
from medcl.data.prepare import prepare
from medcl.errors import MedclError
from medcl.modality.image.config import ImageConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.show.thumbnails import thumbnails
from tests.modality.dicom import dicom_files

_SIZE: dict[str, Any] = {"Rows": 32, "Columns": 32}
_MARKER = 15  # byte of a lossless JPEG at which the marker behind its size begins; without it GDCM aborts


def compress(path: Path, damaged: bool) -> None:
    """Pack a file as lossless JPEG, which GDCM decodes."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    if damaged:
        made = pydicom.dcmread(path)
        frame = bytearray(next(generate_frames(made.PixelData, number_of_frames=1)))
        assert frame[_MARKER] == 0xFF
        frame[_MARKER] = 112
        made.PixelData = encapsulate([bytes(frame)])
        made.save_as(path)


def archive(root: Path, ends: str) -> Manifest:
    """A CT and a radiograph of each kind, one of which ends its decoder."""
    pixels = np.random.default_rng(0).integers(0, 2000, (32, 32)).astype(np.int16).tobytes()
    root.mkdir()
    for name in ("sound", "damaged"):
        for number in range(3):
            own = {"SeriesInstanceUID": f"1.2.{len(name)}", "SOPInstanceUID": f"1.2.{len(name)}.{number}"}
            path = root / f"{name}_ct_{number}.dcm"
            compress(
                dicom_files.write(path, number, PixelData=pixels, **_SIZE, **own), (name, ends) == ("damaged", "ct")
            )
        own = {"SeriesInstanceUID": f"1.3.{len(name)}", "SOPInstanceUID": f"1.3.{len(name)}.1"}
        path = root / f"{name}_dx.dcm"
        compress(dicom_files.radiograph(path, PixelData=pixels, **_SIZE, **own), (name, ends) == ("damaged", "dx"))
    manifest = scan(root, salt=b"the salt of the tests", jobs=1).ok()
    assert len(manifest) == 4, "a scan reads headers, which are sound"
    return manifest


def record_of(manifest: Manifest, start: str) -> str:
    (row,) = [i for i, path in enumerate(manifest.column("path")) if str(path).startswith(start)]
    return str(manifest.column("record_id")[row])


def test_a_volume_that_ends_its_decoder_is_quarantined(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", "ct")
    store = prepare(manifest, VolumeConfig(size=[8, 8, 1]), tmp_path / "store", jobs=1)
    assert list(store.quarantine) == [record_of(manifest, "damaged_ct")]
    assert "ends the reader" in store.quarantine[record_of(manifest, "damaged_ct")]
    assert list(map(str, store.record_ids)) == [record_of(manifest, "sound_ct")]
    alone = manifest.select(np.flatnonzero(manifest.column("record_id") == record_of(manifest, "damaged_ct")))
    with pytest.raises(MedclError, match="none of 1 volumes can be prepared; the first: .* ends the reader"):
        prepare(alone, VolumeConfig(size=[8, 8, 1]), tmp_path / "store", jobs=1)


def test_a_picture_that_ends_its_decoder_is_quarantined_and_drawn_as_a_placeholder(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", "dx")
    store = prepare(manifest, ImageConfig(size=[16, 16]), tmp_path / "store", jobs=1)
    assert list(store.quarantine) == [record_of(manifest, "damaged_dx")]
    assert "ends the reader" in store.quarantine[record_of(manifest, "damaged_dx")]
    assert list(map(str, store.record_ids)) == [record_of(manifest, "sound_dx")]
    rows = [
        list(manifest.column("record_id")).index(record_of(manifest, f"{name}_dx")) for name in ("sound", "damaged")
    ]
    sound, damaged = thumbnails(manifest, [(row, None) for row in rows])
    assert not sound.missing
    assert "ends the reader" in damaged.missing
