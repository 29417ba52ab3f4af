"""last.ckpt: everything that a run needs to go on to the bit."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from medcl import files
from medcl.errors import MedclError
from medcl.files import checksum, damaged, file_checksum

_ANEW = "take it from a copy, or train anew in another folder"
_MARK, _DIGITS = b"crc32:", 8


@dataclass(frozen=True)
class State:
    """What training changes."""

    method: nn.Module
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None


def save(path: Path, step: int, state: State) -> None:
    """Write a checkpoint, whole or not at all."""
    content = {
        "step": step,
        "method": state.method.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "average": state.average.state_dict() if state.average is not None else None,
    }
    # In memory first: writing to a file, PyTorch hides why the disk took no more.
    written = io.BytesIO()
    torch.save(content, written)
    # Its checksum is the comment of the ZIP archive, whose length stands in the two bytes before it.
    written.seek(-2, io.SEEK_END)
    written.write((len(_MARK) + _DIGITS).to_bytes(2, "little"))
    with written.getbuffer() as whole:
        found = checksum(whole)
    written.write(_MARK + found.encode())
    files.write(path, written.getbuffer())


def step_of(path: Path) -> int:
    """How many steps the run of a checkpoint has taken.

    Raises:
        MedclError: when there is no checkpoint, or it is damaged.
    """
    return int(_read(path)["step"])


def weights_of(path: Path) -> dict[str, Tensor]:
    """The weights that the run of a checkpoint would keep: the averaged ones, where it keeps an average.

    Raises:
        MedclError: when there is no checkpoint, or it is damaged.
    """
    content = _read(path)
    average = content.get("average")
    if average is None:
        return dict(content["method"])
    return {name.removeprefix("module."): one for name, one in average.items() if name.startswith("module.")}


def resume_from(path: Path, state: State) -> int:
    """Take up the state of a checkpoint, and return how many steps its run has taken.

    Raises:
        MedclError: when there is no checkpoint, or it does not fit or is damaged.
    """
    content = _read(path)
    try:
        state.method.load_state_dict(content["method"])
        state.optimiser.load_state_dict(content["optimiser"])
        if state.average is not None:
            state.average.load_state_dict(content["average"])
        return int(content["step"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise MedclError(f"{path}: does not fit this configuration: {_ANEW}") from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MedclError(f"{path}: no checkpoint to resume from; run without --resume")
    try:
        # PyTorch writes a ZIP archive with checksums of its parts, but does not look at them; its index has none.
        with ZipFile(path) as parts:
            broken = parts.testzip() is not None or not _is_whole(path, parts.comment)
        content = torch.load(path, map_location="cpu", weights_only=True)
        int(content["step"])
    except Exception as error:  # noqa: BLE001 - a damaged file fails in as many ways as there are in unpickling
        raise damaged(path, _ANEW) from error
    if broken:
        raise damaged(path, _ANEW)
    return dict(content)


def _is_whole(path: Path, comment: bytes) -> bool:
    """Whether a file is what its comment says; an older one has none."""
    return not comment or comment == _MARK + file_checksum(path, without=len(comment)).encode()
