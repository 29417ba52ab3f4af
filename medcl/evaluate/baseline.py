"""Random initialisation is measured once: runs that share network, data and settings share their baseline.

Five pretrainings of one network are compared with the same random weights, subsets and seeds; their predictions are
kept beside the store, under a hash of all that they depend on.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from medcl import files
from medcl.evaluate.experiment import Prediction, Setting
from medcl.evaluate.fractions import Subset
from medcl.modality.spec import Card, to_json

_VERSION = 1
"""Raised when the same settings give other predictions."""


def path_of(setting: Setting, card: Card, drawn: Sequence[Sequence[Subset]]) -> Path:
    """Where the baseline of a setting is kept.

    Args:
        setting: the evaluation.
        card: of the encoder, whose network is initialised at random.
        drawn: the labelled subsets.
    """
    config = {
        name: value
        for name, value in asdict(setting.config).items()
        if name not in ("jobs", "bootstrap", "allow_transductive")
    }
    about = [_VERSION, torch.__version__, setting.store.name, to_json(card), config]
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12)
    digest.update("\n".join(map(str, setting.manifest.column("record_id"))).encode())
    digest.update(np.ascontiguousarray(setting.manifest.labels(setting.config.target)).tobytes())
    for rows in (setting.validation, setting.test, *(subset.rows for repeat in drawn for subset in repeat)):
        digest.update(np.ascontiguousarray(rows).tobytes() + b"|")
    return setting.store.parent / f"baseline-{digest.hexdigest()}.npz"


def save(path: Path, predictions: Sequence[Prediction]) -> None:
    """Keep the predictions of random initialisation, whole or not at all."""
    arrays = {f"{p.protocol}/{p.label}/{p.repeat}/{p.seed}": p.probabilities for p in predictions if p.init == "random"}
    with files.draft(path, durable=False) as place, place.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> list[Prediction] | None:
    """The kept predictions; None where there are none, or the file is damaged and has to be computed anew."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = []
            for name in arrays.files:
                protocol, label, repeat, seed = name.split("/")
                kept.append(Prediction(protocol, "random", label, int(repeat), int(seed), arrays[name]))
            return kept
    except Exception:  # noqa: BLE001 - a damaged archive fails in as many ways as there are in unpacking
        return None
