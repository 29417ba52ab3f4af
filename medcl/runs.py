"""The run folder: an encoder with its configuration and the patients that it has seen.

A run folder holds `encoder.safetensors` (weights, and in its metadata what rebuilds the network), `config.yaml`
(complete: `--config` takes it as it is), `metrics.csv`, `patients.txt` (salted hashes), `environment.json`, and while
training `last.ckpt`. Nothing in it needs pickle to be read, `last.ckpt` apart, which is only ever loaded with
`weights_only=True`.
"""

import hashlib
import json
import os
import platform
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from medcl.archive.manifest import Manifest
from medcl.encoders import card as cards
from medcl.encoders.card import Card, ImageCard, JointCard, SignalCard, VolumeCard
from medcl.encoders.image_base import ImageEncoder
from medcl.encoders.joint import JointEncoder
from medcl.encoders.signal import SignalEncoder
from medcl.errors import LeakError, MedclError, cause

RUN_VERSION = 1
WEIGHTS, CONFIG, METRICS, PATIENTS, ENVIRONMENT, CHECKPOINT = (
    "encoder.safetensors",
    "config.yaml",
    "metrics.csv",
    "patients.txt",
    "environment.json",
    "last.ckpt",
)


@dataclass(frozen=True)
class SeenPatients:
    """Salted hashes of the patients that a run was trained on.

    Args:
        salt: of this run, so that hashes of two runs cannot be joined.
        coded_with: fingerprint of the salt that coded the manifest's patients; codes of another salt cannot be
            compared.
        hashes: one a patient.
    """

    salt: str
    coded_with: str
    hashes: frozenset[str]

    @classmethod
    def of(cls, codes: Iterable[int], coded_with: str) -> "SeenPatients":
        """Hash the codes of `codes` with a new salt."""
        salt = secrets.token_hex(16)
        return cls(salt, coded_with, frozenset(_hash(salt, code) for code in codes))

    def among(self, codes: np.ndarray) -> np.ndarray:
        """Which of the patient codes (n,) were trained on, as (n,) bool."""
        unique, inverse = np.unique(codes, return_inverse=True)
        seen = np.array([_hash(self.salt, int(code)) in self.hashes for code in unique], dtype=bool)
        return seen[inverse]

    def write(self, path: Path) -> None:
        """Write one hash a line under a line that names both salts."""
        lines = [f"# salt={self.salt} coded-with={self.coded_with}", *sorted(self.hashes)]
        path.write_text("\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: Path) -> "SeenPatients":
        """Read what `write` wrote.

        Raises:
            MedclError: if the file is not one of these.
        """
        first, *hashes = path.read_text().splitlines() or [""]
        words = dict(word.split("=", 1) for word in first.removeprefix("# ").split() if "=" in word)
        if not {"salt", "coded-with"} <= words.keys():
            raise MedclError(f"{path}: not a list of seen patients (its first line must name the salt)")
        return cls(words["salt"], words["coded-with"], frozenset(hashes))


C = TypeVar("C", bound=Card)
E = TypeVar("E", bound=nn.Module)


@dataclass(frozen=True)
class Run(Generic[C, E]):
    """A finished run, loaded.

    Args:
        folder: where it lies.
        card: what the encoder expects.
        encoder: the trained network, in evaluation mode.
        config: the whole configuration that made it.
        patients: whom it has seen.
    """

    folder: Path
    card: C
    encoder: E
    config: dict[str, Any]
    patients: SeenPatients


def _hash(salt: str, code: int) -> str:
    return hashlib.blake2b(str(code).encode(), key=bytes.fromhex(salt), digest_size=8).hexdigest()


def environment() -> dict[str, Any]:
    """Versions of what computes, for the run folder and the report."""
    packages = ("medcl", "torch", "lightning", "numpy", "scikit-learn", "wfdb", "mne", "blosc2")
    return {
        "run_version": RUN_VERSION,
        "python": platform.python_version(),
        "platform": platform.system().lower() + "-" + platform.machine(),
        **{name: version(name) for name in packages},
    }


def start(folder: Path, config: dict[str, Any], patients: SeenPatients) -> None:
    """Make the folder and write what is known before the first step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    (folder / ENVIRONMENT).write_text(json.dumps(environment(), indent=2) + "\n")
    patients.write(folder / PATIENTS)


def save_encoder(folder: Path, encoder: nn.Module, card: Card) -> None:
    """Publish the weights atomically, with the card in their metadata."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    partial = folder / (WEIGHTS + ".partial")
    save_file(weights, partial, metadata={"medcl": cards.to_json(card)})
    os.replace(partial, folder / WEIGHTS)


def load(folder: Path, kinds: Collection[str] | None = None) -> Run[Any, Any]:
    """Load a finished run.

    Args:
        folder: of the run.
        kinds: of a run on several modalities the sides that are wanted; the others are neither read nor built, and what
            they are built of is not imported. All where it is None.

    Raises:
        MedclError: if the folder is not a run, is unfinished, damaged, or was written by a newer medcl.
        UsageError: the run has no such side.
    """
    if not folder.is_dir():
        raise MedclError(f"{folder}: no such folder; a run folder is what `medcl pretrain -o` writes")
    if not (folder / ENVIRONMENT).is_file() or not (folder / CONFIG).is_file():
        raise MedclError(f"{folder}: not a run folder ({ENVIRONMENT} or {CONFIG} is missing)")
    try:
        found = int(json.loads((folder / ENVIRONMENT).read_text())["run_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise MedclError(f"{folder / ENVIRONMENT}: does not name the version of the run folder") from error
    if found > RUN_VERSION:
        raise MedclError(
            f"{folder}: version {found} of the run folder, newer than this medcl reads ({RUN_VERSION}): update medcl"
        )
    if not (folder / WEIGHTS).is_file():
        raise MedclError(f"{folder}: pretraining has not finished; `medcl pretrain ... -o {folder} --resume` goes on")
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as weights:
            card = cards.from_json((weights.metadata() or {})["medcl"])
            names = [name for name in weights.keys() if _is_wanted(name, card, kinds)]  # noqa: SIM118  (not a dict)
            state = {name: weights.get_tensor(name) for name in names}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MedclError(f"{folder / WEIGHTS}: damaged, or not written by medcl: {cause(error)}") from error
    try:
        encoder = card.build(kinds) if isinstance(card, JointCard) else card.build()
    except (KeyError, TypeError, ValueError) as error:
        raise MedclError(f"{folder / WEIGHTS}: does not hold what its encoder is built of: {cause(error)}") from error
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise MedclError(f"{folder / WEIGHTS}: the weights do not fit the encoder that the file names") from error
    config = yaml.safe_load((folder / CONFIG).read_text())
    return Run(folder, card, encoder.eval(), config, SeenPatients.read(folder / PATIENTS))


def load_signals(folder: Path) -> Run[SignalCard, SignalEncoder]:
    """Load a finished run on recordings.

    Raises:
        MedclError: as `load`, or its encoder is one of volumes.
    """
    return cast(Run[SignalCard, SignalEncoder], _of_kind(load(folder), SignalCard, "recordings"))


def load_volumes(folder: Path) -> Run[VolumeCard, ImageEncoder]:
    """Load a finished run on volumes.

    Raises:
        MedclError: as `load`, or its encoder is one of recordings.
    """
    return cast(Run[VolumeCard, ImageEncoder], _of_kind(load(folder), VolumeCard, "volumes"))


def load_images(folder: Path) -> Run[ImageCard, ImageEncoder]:
    """Load a finished run on pictures.

    Raises:
        MedclError: as `load`, or its encoder is one of other records.
    """
    return cast(Run[ImageCard, ImageEncoder], _of_kind(load(folder), ImageCard, "pictures"))


def load_joint(folder: Path, kinds: Collection[str] | None = None) -> Run[JointCard, JointEncoder]:
    """Load a finished run on several modalities, or some of its sides, as `load`.

    Raises:
        MedclError: as `load`, or its encoder is one of a single modality.
    """
    return cast(Run[JointCard, JointEncoder], _of_kind(load(folder, kinds), JointCard, "several modalities"))


def _is_wanted(name: str, card: Card, kinds: Collection[str] | None) -> bool:
    """Whether a weight is of the sides that are wanted: the second part of its name is that of its side."""
    return kinds is None or not isinstance(card, JointCard) or name.split(".")[1] in kinds


def _of_kind(run: Run[Any, Any], kind: type[Card], what: str) -> Run[Any, Any]:
    if not isinstance(run.card, kind):
        raise MedclError(f"{run.folder}: its encoder was not trained on {what}")
    return run


def guard(run: Run[Any, Any], manifest: Manifest, rows: np.ndarray, *, allow: bool = False) -> str | None:
    """Refuse to test on patients that the run was trained on.

    Args:
        run: the pretrained encoder.
        manifest: whose `patient` column is compared.
        rows: of the test records.
        allow: go on all the same and return the sentence for the report.

    Returns:
        A sentence for the report where something must be said, else None.

    Raises:
        LeakError: if a test patient was trained on and `allow` is not set.
    """
    if run.patients.coded_with != manifest.metadata.get("salt"):
        return (
            "The patients of the pretraining cannot be compared with the test patients: the two manifests were "
            "coded with different salts "
            "(another site, or another MEDCL_SALT)."
        )
    codes = np.unique(manifest.column("patient")[rows])
    seen = int(run.patients.among(codes).sum())
    if not seen:
        return None
    if allow:
        return f"Transductive: {seen} of {len(codes)} test patients were seen, without their labels, in pretraining."
    raise LeakError(
        f"{seen} of {len(codes)} test patients were among the patients that {run.folder} was trained on. Pretrain "
        "on the training split of this manifest, or accept it with --allow-transductive; the report then says so."
    )
