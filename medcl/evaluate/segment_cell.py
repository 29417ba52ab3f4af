"""One trained network of a segmentation's evaluation, and its folder: what is finished is never computed again.

A cell's name is a hash of all that it depends on: the weights that it started from, the settings, the volumes of
training, validation and test. So an interrupted evaluation goes on where it stopped, and random initialisation is
trained once for all runs that share network, data and settings.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from medcl import files, weights
from medcl.archive.manifest import Manifest
from medcl.archive.stratify import Ints, first_appearance
from medcl.checksums import read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate.fractions import Ordering
from medcl.evaluate.segment_results import Cell
from medcl.evaluate.typed_json import build, plain

Unit = Literal["patient", "record"]


def order(manifest: Manifest, rows: Ints, seed: int, unit: Unit = "patient") -> Ordering:
    """Order the patients or the volumes of some rows, so that the first n of them are the labelled ones.

    Args:
        manifest: of the records.
        rows: (R,) training rows with a usable label map.
        seed: of the draw.
        unit: what is counted: patients, with all of their volumes, or volumes (`record`).

    Returns:
        The ordering; `take` gives the subset of a fraction.

    Raises:
        MedclError: there is no row.
    """
    if not len(rows):
        raise MedclError("no volume of the training split has a label map that can be used")
    patient_of_row, _ = first_appearance(manifest.column("patient")[rows])
    unit_of_row = patient_of_row if unit == "patient" else np.arange(len(rows))
    units = np.random.default_rng(seed).permutation(int(unit_of_row.max()) + 1)
    nothing = np.zeros((len(rows), 0), dtype=bool)
    return Ordering(units, rows, unit_of_row, patient_of_row, nothing, 1, unit, ())


def one_each(manifest: Manifest, rows: Ints, count: int, seed: int) -> Ints:
    """One volume of each of `count` patients, or of as many as there are.

    Args:
        manifest: of the records.
        rows: (R,) rows with a usable label map.
        count: patients.
        seed: of the draw.

    Returns:
        Rows, ascending.
    """
    _, first = np.unique(manifest.column("patient")[rows], return_index=True)
    # In the order of the manifest, which does not depend on how the patients are coded.
    volumes = rows[np.sort(first)]
    chosen = np.random.default_rng([seed, 1]).permutation(len(volumes))[:count]
    return np.sort(volumes[chosen])


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
