"""The folder of an export: written whole or not at all, compared with the original before anybody sees it."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.export.bundle import write_bundle
from medcl.export.card import card_of
from medcl.export.hub import write_hub
from medcl.export.programs import ONNX, Runs, write_onnx, write_torch
from medcl.export.taken import Taken, take
from medcl.modality.preprocessing import REFERENCE, SETTINGS

Format = Literal["onnx", "torch", "monai-bundle", "hub"]
NETWORK = "network.json"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        folder: where.
        difference: largest absolute difference between what the original and the export give.
        largest: largest absolute number that the original gives.
        samples: by which they were compared.
        records: that the samples are of; 0 where they are made up.
        network: file of the network.
    """

    folder: Path
    difference: float
    largest: float
    samples: int
    records: int
    network: str


def export(
    source: Path, to: Format, folder: Path, *, manifest: Manifest | None = None, side: str = "", jobs: int = 1
) -> Exported:
    """Export a run or a model.

    Args:
        source: run folder, model folder, or hub folder.
        to: the format.
        folder: that is made.
        manifest: whose first records are what original and export are compared by; None compares by made-up samples.
        side: of a run on several inputs, the name of the input.
        jobs: processes that decode records.

    Raises:
        UsageError: the folder is there, or the source has no network or no such side.
        MedclError: the network cannot be exported or the folder not be written.
    """
    if folder.exists():
        raise UsageError(f"{folder}: is there, and is not overwritten: choose another -o")
    taken = take(source, side)
    inputs = taken.examples(seed=1) if manifest is None else taken.real(manifest, jobs)
    files.make_folder(folder.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
            draft = Path(place) / folder.name
            files.make_folder(draft)
            network, run = _written(to, draft, taken, side)
            difference, largest = compared(taken.original, run, inputs)
            _beside(draft, taken, network, difference, sum(map(len, inputs)))
            os.rename(draft, folder)
    except OSError as error:
        raise files.unwritable(folder, error) from error
    return Exported(folder, difference, largest, sum(map(len, inputs)), len(inputs) if manifest else 0, network)


def _written(to: Format, folder: Path, taken: Taken, side: str) -> tuple[str, Runs]:
    if to == "onnx":
        return ONNX, write_onnx(folder, taken)
    if to == "torch":
        return write_torch(folder, taken)
    if to == "monai-bundle":
        return "configs/inference.json", write_bundle(folder, taken)
    return "model.safetensors", write_hub(folder, taken, side)


def compared(original: Runs, exported: Runs, inputs: Sequence[Tensor]) -> tuple[float, float]:
    """The largest absolute difference over all inputs, and the largest absolute number of the original.

    Raises:
        MedclError: the export fails, gives another shape, or what is not a number.
    """
    difference = largest = 0.0
    for x in inputs:
        with torch.inference_mode():
            wanted = original(x).double()
            try:
                found = exported(x).double().cpu()
            except RuntimeError as error:
                shape = "x".join(map(str, x.shape))
                raise MedclError(f"the export does not take samples of the shape {shape}: it was not kept") from error
        if wanted.shape != found.shape or not torch.isfinite(found).all():
            raise MedclError(
                f"the export gives {tuple(found.shape)} where the original gives {tuple(wanted.shape)}, or what is not "
                "a number: it was not kept"
            )
        difference = max(difference, float((wanted - found).abs().max()))
        largest = max(largest, float(wanted.abs().max()))
    return difference, largest


def _beside(folder: Path, taken: Taken, network: str, difference: float, samples: int) -> None:
    """What goes beside every network: its preprocessing as data and as a program, what it gives, a card."""
    own = taken.preprocessing
    files.write(folder / SETTINGS, json.dumps(own.settings, indent=2, ensure_ascii=False) + "\n")
    files.write(folder / REFERENCE, own.reference)
    for name, content in own.further.items():
        files.write(folder / name, content)
    about = {**taken.about, "input": {"name": "x", "axes": ["samples", *own.axes], "dtype": _dtype(taken)}}
    files.write(folder / NETWORK, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    files.write(folder / "README.md", card_of(taken, network, difference, samples))


def _dtype(taken: Taken) -> str:
    return str(taken.examples()[0].dtype).removeprefix("torch.")
