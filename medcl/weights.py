"""Weights of networks as safetensors, each tensor with its checksum in the metadata of the file."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Match:
    """What of a file fits a network.

    Args:
        matched: {name in the network: tensor}.
        unused: names in the file that the network does not have.
        wrong: those of another shape, with both shapes.
        adapted: names in the network whose tensors were made to fit.
    """

    matched: dict[str, Tensor] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)


def match(given: Mapping[str, Tensor], own: Mapping[str, Tensor], rename: Mapping[str, str], *, adapt: bool) -> Match:
    """Find the tensors of a file that a network takes.

    Args:
        given: of the file.
        own: of the network.
        rename: {beginning of the names in the file: beginning of the names in the network}; the longest one that fits
            counts, and the empty one is that of all names.
        adapt: whether kernels are inflated from two to three dimensions, and input channels averaged.
    """
    found = Match()
    for name, value in given.items():
        beginning = next((one for one in sorted(rename, key=len, reverse=True) if name.startswith(one)), None)
        renamed = name if beginning is None else rename[beginning] + name.removeprefix(beginning)
        if renamed not in own:
            found.unused.append(name)
            continue
        fitted = _fitted(value, own[renamed].shape) if adapt else value
        if fitted.shape != own[renamed].shape:
            found.wrong.append(f"{name} {tuple(value.shape)} for {tuple(own[renamed].shape)}")
            continue
        found.adapted.extend([renamed] if fitted.shape != value.shape else [])
        found.matched[renamed] = fitted.to(own[renamed].dtype)
    return found


def _fitted(value: Tensor, shape: torch.Size) -> Tensor:
    """A kernel (out, in, x, y) as one of three dimensions, or of another number of input channels."""
    if value.ndim + 1 == len(shape) and value.ndim == 4:
        # The same response to a volume that does not change along the new axis (Carreira and Zisserman, CVPR 2017).
        depth = shape[-1]
        value = value[..., None].expand(*value.shape, depth) / depth
    if value.ndim == len(shape) >= 3 and value.shape[1] != shape[1] and value.shape[0] == shape[0]:
        # The same response to an image whose channels are equal.
        value = value.sum(dim=1, keepdim=True).expand(-1, shape[1], *value.shape[2:]) / shape[1]
    return value
