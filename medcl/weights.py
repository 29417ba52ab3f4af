"""Weights of networks as safetensors, each tensor with its checksum in the metadata of the file."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from medcl import files
from medcl.files import checksum, damaged

_ABOUT, _SUMS = "medcl", "crc32"
_LENGTH = 8  # bytes of the length of the header


def of(network: nn.Module) -> dict[str, Tensor]:
    """All weights of a network by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def write(path: Path, weights: Mapping[str, Tensor], about: str = "") -> None:
    """Write weights, whole or not at all.

    Raises:
        MedclError: it cannot be written.
    """
    sums = {"": checksum(about), **{name: _checksum(tensor) for name, tensor in weights.items()}}
    # In memory first: the library would write to a file of its own, which a killed process leaves.
    files.write(path, _ordered(save(dict(weights), metadata={_ABOUT: about, _SUMS: json.dumps(sums)})))


def read_about(path: Path, remedy: str) -> str:
    """What is kept with the weights of a file.

    Raises:
        MedclError: the file cannot be read, or is damaged.
    """
    with _opened(path, remedy) as (_, metadata, sums):
        about = metadata.get(_ABOUT)
        if about is None or (sums is not None and sums.get("") != checksum(about)):
            raise damaged(path, remedy)
        return str(about)


def read(path: Path, remedy: str, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """The weights of a file by name; those that are not wanted are not read.

    Raises:
        MedclError: the file cannot be read, or is damaged.
    """
    with _opened(path, remedy) as (file, _, sums):
        names = list(file.keys())
        if sums is not None and sums.keys() - {""} != set(names):
            raise damaged(path, remedy)
        weights = {name: file.get_tensor(name) for name in names if wanted(name)}
        if sums is not None and any(sums[name] != _checksum(tensor) for name, tensor in weights.items()):
            raise damaged(path, remedy)
        return weights


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[tuple[Any, dict[str, str], dict[str, str] | None]]:
    """The file, its metadata and its checksums, where it has some."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            yield file, metadata, json.loads(metadata[_SUMS]) if _SUMS in metadata else None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, remedy) from error


def _ordered(content: bytes) -> bytes:
    """The file with its metadata in one order: so the same weights are the same file.

    The library's order differs from process to process.
    """
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    text = json.dumps({"__metadata__": dict(sorted(header.pop("__metadata__").items())), **header}).encode()
    text += b" " * (-len(text) % _LENGTH)  # Tensors begin at a multiple of 8 bytes.
    return len(text).to_bytes(_LENGTH, "little") + text + content[_LENGTH + length :]


def _checksum(tensor: Tensor) -> str:
    flat = tensor.contiguous().reshape(-1)
    return checksum(f"{tensor.dtype} {tuple(tensor.shape)}", flat.view(torch.uint8).numpy() if flat.numel() else b"")
