"""What a scan calls usable can be prepared: every format and every type of number of volumes and pictures."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer.mghformat import MGHImage
from PIL import Image as Picture

from medcl.archive.scan import scan
from medcl.data.prepare import prepare
from medcl.modality.image.config import ImageConfig
from medcl.modality.volume.config import VolumeConfig
from tests.modality.volume.formats.test_text_volumes import write_mha, write_nrrd

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
TYPES += ["complex64", "complex128", "float16", "rgb", "rgba"]
COLOURS = {"rgb": [("R", "u1"), ("G", "u1"), ("B", "u1")], "rgba": [(name, "u1") for name in "RGBA"]}
MET = {"int8": "CHAR", "uint8": "UCHAR", "int16": "SHORT", "uint16": "USHORT", "int32": "INT", "uint32": "UINT"}
MET |= {"int64": "LONG_LONG", "uint64": "ULONG_LONG", "float32": "FLOAT", "float64": "DOUBLE"}
SALT = b"the salt of the tests"


def numbers(dtype: str) -> np.ndarray:
    if dtype in COLOURS:
        return np.zeros((12, 12, 12), COLOURS[dtype])
    return np.random.default_rng(0).integers(0, 120, (12, 12, 12)).astype(dtype)


def write_every(folder: Path, dtype: str) -> None:
    """The same numbers in every format that has a way of writing them."""
    data, affine = numbers(dtype), np.diag([1.0, 1, 2, 1])
    if dtype != "float16":
        for name in ("a.nii", "b.nii.gz"):
            nib.save(nib.Nifti1Image(data, affine, dtype=data.dtype), folder / name)
        nib.save(nib.Nifti2Image(data, affine, dtype=data.dtype), folder / "c.nii")
        nib.Nifti1Pair(data, affine, dtype=data.dtype).to_filename(folder / "d.img")
    if dtype in ("uint8", "int16", "int32", "float32"):
        MGHImage(data, affine.astype(np.float32)).to_filename(folder / "e.mgz")
        nib.AnalyzeImage(data, affine).to_filename(folder / "f.img")
    kind = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    if dtype in MET:
        write_nrrd(folder / "g.nrrd", numbers("int16"), affine, type=kind)
        head = (folder / "g.nrrd").read_bytes().partition(b"\n\n")[0]
        (folder / "g.nrrd").write_bytes(head + b"\n\n" + data.tobytes(order="F"))
        (folder / "h.nrrd").write_bytes(
            head.replace(b"encoding: raw", b"encoding: gzip") + b"\n\n" + gzip.compress(data.tobytes(order="F"))
        )
        write_mha(folder / "i.mha", numbers("int16"), affine, ElementType=f"MET_{MET[dtype]}")
        head = (folder / "i.mha").read_bytes().partition(b"LOCAL\n")[0]
        (folder / "i.mha").write_bytes(head + b"LOCAL\n" + data.tobytes(order="F"))
    elif dtype not in COLOURS:
        write_nrrd(folder / "g.nrrd", numbers("int16"), affine, type=kind)


@pytest.mark.parametrize("dtype", TYPES)
def test_volumes_that_a_scan_calls_usable_are_prepared(tmp_path: Path, dtype: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_every(folder, dtype)
    manifest = scan(folder, salt=SALT, jobs=1)
    usable = manifest.ok()
    assert len(usable) == (0 if dtype not in MET else len(manifest))
    if len(usable):
        store = prepare(usable, VolumeConfig(size=(8, 8, 8)), tmp_path / "store", jobs=1)
        assert store.quarantine == {}
        whole = store.read(0, np.zeros(3, np.int64), store.shape[0])
        for number in range(len(usable)):
            other = store.read(number, np.zeros(3, np.int64), store.shape[number])
            assert np.sort(other, axis=None).tolist() == np.sort(whole, axis=None).tolist()
    else:
        assert all(reason.startswith(("voxels of type", "damaged header")) for reason in manifest.column("status"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_pictures_that_a_scan_calls_usable_are_prepared(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    grey = Picture.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8))
    made = Picture.fromarray(np.asarray(grey).astype(np.uint16) * 256) if mode == "I;16" else grey.convert(mode)
    written = 0
    for form in ("png", "jpeg"):
        try:
            made.save(folder / f"a.{form}", form.upper())
            written += 1
        except OSError:
            (folder / f"a.{form}").unlink(missing_ok=True)
    manifest = scan(folder, salt=SALT, jobs=1)
    assert written > 0
    assert manifest.column("status").tolist() == ["ok"] * written
    store = prepare(manifest, ImageConfig(size=(16, 16)), tmp_path / "store", jobs=1)
    assert store.quarantine == {}
