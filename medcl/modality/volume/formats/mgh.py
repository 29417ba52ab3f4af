"""FreeSurfer's .mgh and .mgz: big-endian voxels behind a header of fixed length."""

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from medcl.errors import UnreadableError
from medcl.modality.unpack import Unpacked, opened
from medcl.modality.volume.formats.voxels import Stored, VoxelPart, check_gzip, check_length, readers
from medcl.modality.volume.record import Grid, VolumeHeader

_LENGTH = 284
_HAS_ORIENTATION = 28
_BEHIND = 1 << 16  # bytes of commands and names of files behind the voxels; with more, a file is unpacked to its end
_TYPES = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def _stored_volume(path: Path) -> Stored:
    """The header of an .mgh or .mgz file; what lies behind its voxels (commands, file names) is not read.

    Returns:
        In mm; modality `mr` and unit `stored`. Frames are channels.

    Raises:
        UnreadableError: it is damaged or truncated, or its voxels are of a type that is no number.
    """
    with opened(path) as file:
        block = file.read(_LENGTH)
        packing = "gzip" if isinstance(file, Unpacked) else "raw"
    if len(block) < _LENGTH:
        raise UnreadableError(f"truncated file: it ends within its header of {_LENGTH} bytes")
    raw = MGHHeader(block, check=False)
    dims = [int(length) for length in raw["dims"]]
    if min(dims) < 1 or prod(dims) >= 2**62:
        raise UnreadableError(f"damaged header: shape {tuple(dims)}")
    if int(raw["type"]) not in _TYPES:
        raise UnreadableError(f"voxels of type {int(raw['type'])}: only integers and floats are read")
    flags = []
    # Of the file itself, since nibabel fills in an orientation of its own, in which FreeSurfer's matrix is transposed.
    if int.from_bytes(block[_HAS_ORIENTATION : _HAS_ORIENTATION + 2]) != 1:
        raw["delta"], raw["Mdc"], raw["Pxyz_c"] = 1, [[-1, 0, 0], [0, 0, -1], [0, 1, 0]], 0
        flags.append("no orientation: axes taken as FreeSurfer has them, spacing as 1 mm")
    affine = np.eye(4)
    affine[:3, :3] = raw["Mdc"].T.astype(np.float64) * raw["delta"]
    affine[:3, 3] = raw["Pxyz_c"] - affine[:3, :3] @ (np.array(dims[:3]) / 2)
    header = VolumeHeader(
        modality="mr",
        format="mgh",
        grid=Grid((dims[0], dims[1], dims[2]), affine),
        n_channels=dims[3],
        dtype=np.dtype(_TYPES[int(raw["type"])]).name,
        unit="stored",
        files=(path.name,),
    )
    part = VoxelPart(path, 0, _LENGTH) if packing == "gzip" else VoxelPart(path, _LENGTH)
    dtype = np.dtype(_TYPES[int(raw["type"])])
    stored = Stored(header, (dims[0], dims[1], dims[2], dims[3]), 3, dtype, (part,), packing)
    check_length(stored)
    return replace(stored, header=replace(header, flags=(*flags, *check_gzip(stored, _BEHIND))))


read_header, read_volume = readers(_stored_volume)
