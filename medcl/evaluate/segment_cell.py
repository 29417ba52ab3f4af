"""One trained network of a segmentation's evaluation, and its folder: what is finished is never computed again.

A cell's name is a hash of all that it depends on: the weights that it started from, the settings, the volumes of
training, validation and test. So an interrupted evaluation goes on where it stopped, and random initialisation is
trained once for all runs that share network, data and settings.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medcl import files, weights
from medcl.checksums import read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate.segment_results import Cell
from medcl.evaluate.typed_json import build, plain

VERSION = 1
"""Raised when the same settings give other numbers."""


def name_of(about: Mapping[str, Any]) -> str:
    """The name of a cell: a hash of all that its numbers depend on."""
    text = json.dumps([VERSION, torch.__version__, plain(about)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def hash_of(network: nn.Module) -> str:
    """Hash of all weights of a network."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in weights.of(network).items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def save(folder: Path, name: str, cell: Cell, network: nn.Module | None) -> None:
    """Keep a finished cell, whole or not at all.

    Args:
        folder: of all cells.
        name: of this one.
        cell: its numbers.
        network: to keep its weights as well; they are written before the numbers, which say that the cell is finished.
    """
    if network is not None:
        weights.write(folder / f"{name}.safetensors", weights.of(network))
    files.write(folder / f"{name}.json", json.dumps(sealed(plain(cell)), allow_nan=False))


def load(folder: Path, name: str, *, with_weights: bool) -> Cell | None:
    """A finished cell; None where there is none, or its files are damaged, so that it has to be computed anew.

    Args:
        folder: of all cells.
        name: of this one.
        with_weights: whether its weights have to be there, too.
    """
    path = folder / f"{name}.json"
    if not path.is_file() or (with_weights and not path.with_suffix(".safetensors").is_file()):
        return None
    try:
        cell: Cell = build(Cell, read_json(path, "remove it"), "cell")
    except (OSError, ValueError, MedclError):
        return None
    return cell


def restore(folder: Path, name: str, network: nn.Module) -> bool:
    """Give a network the kept weights of a cell; False where they cannot be read."""
    try:
        network.load_state_dict(weights.read(folder / f"{name}.safetensors", "remove it"))
    except (MedclError, RuntimeError):
        return False
    return True
