"""The run folder: an encoder with its configuration and the patients that it has seen.

A run folder holds `encoder.safetensors` (weights, and in its metadata what rebuilds the network), `recipe.yaml`
(complete: `--config` takes it as it is), `metrics.csv`, `patients.txt` (salted hashes), `environment.json`, and while
training `last.ckpt`. Nothing in it needs pickle to be read, `last.ckpt` apart, which is only ever loaded with
`weights_only=True`.
"""

import json
import platform
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
import yaml
from torch import Tensor, nn

from medcl import files, weights
from medcl.archive.manifest import Manifest
from medcl.documents import read_json, read_yaml, sealed
from medcl.errors import LeakError, MedclError, UsageError
from medcl.files import damaged, file_checksum
from medcl.modality import spec as cards
from medcl.modality.spatial.encoders.base import ImageEncoder
from medcl.modality.spec import Card, JointCard, VolumeCard
from medcl.names import check_outside
from medcl.networks.multimodal import MultimodalEncoder
from medcl.seen import SeenPatients as SeenPatients

RUN_VERSION = 1
_SUMS = "checksums"
_COPY = "take it from a copy of the run folder, or train anew in another one"
LOCK, BOARD, MONITOR = ".lock", "tensorboard", "monitor.csv"
WEIGHTS, CONFIG, METRICS = "encoder.safetensors", "recipe.yaml", "metrics.csv"
HUB_WEIGHTS = "model.safetensors"
"""The weights in a folder of a model hub, such as `medcl export` makes of a run."""
CONFIGS = CONFIG, "config.yaml"
"""The recipe, and its name in version 0.1."""
PATIENTS, ENVIRONMENT, CHECKPOINT = "patients.txt", "environment.json", "last.ckpt"

C = TypeVar("C", bound=Card)
E = TypeVar("E", bound=nn.Module)


@dataclass(frozen=True)
class Run(Generic[C, E]):
    """A finished run, loaded: its encoder in evaluation mode, and the whole configuration that made it."""

    folder: Path
    card: C
    encoder: E
    config: dict[str, Any]
    patients: SeenPatients


def environment() -> dict[str, Any]:
    """Versions of what computes, for the run folder and the report."""
    packages = ("medcl", "torch", "lightning", "numpy", "scikit-learn", "wfdb", "mne", "blosc2")
    return {
        "run_version": RUN_VERSION,
        "python": platform.python_version(),
        "platform": platform.system().lower() + "-" + platform.machine(),
        **{name: version(name) for name in packages},
    }


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a run folder to this process while the block runs; the folder is made if need be.

    Raises:
        MedclError: another process trains in it, or the folder cannot be made.
    """

    def busy(owner: str) -> MedclError:
        who = f" ({owner})" if owner else ""
        return MedclError(f"{folder}: another process{who} trains in this run folder: wait for it, or choose another")

    new = not folder.is_dir()
    files.make_folder(folder)
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(files.lock(folder / LOCK, busy))
            except OSError as error:
                raise files.unwritable(folder, error) from error
            yield
    finally:
        if new:
            with suppress(OSError):  # It stays where there is something in it.
                folder.rmdir()


def is_run(folder: Path) -> bool:
    """Whether a folder is one of a run, finished or not."""
    return (folder / ENVIRONMENT).is_file() and any((folder / name).is_file() for name in CONFIGS)


def is_begun(folder: Path) -> bool:
    """Whether there is something to go on from: a run that was killed before its first checkpoint begins anew."""
    return (folder / CHECKPOINT).exists() or (folder / WEIGHTS).exists()


def start(folder: Path, config: dict[str, Any], patients: SeenPatients) -> None:
    """Make the folder and write what is known before the first step."""
    # Of a run that was killed before its first checkpoint.
    shutil.rmtree(folder / BOARD, ignore_errors=True)
    files.write(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    patients.write(folder / PATIENTS)
    sums = {name: file_checksum(folder / name) for name in (CONFIG, PATIENTS)}
    files.write(folder / ENVIRONMENT, json.dumps(sealed({**environment(), _SUMS: sums}), indent=2) + "\n")


def save_encoder(folder: Path, encoder: nn.Module, card: Card) -> None:
    """Publish the weights atomically, with the card in their metadata."""
    weights.write(folder / WEIGHTS, weights.of(encoder), cards.to_json(card))


def weights_in(folder: Path) -> Path:
    """The file of the weights of a run folder, or of a hub folder that was made of one."""
    hub = folder / HUB_WEIGHTS
    return hub if hub.is_file() else folder / WEIGHTS


def load(folder: Path, kinds: Collection[str] | None = None) -> Run[Any, Any]:
    """Load a finished run.

    Of one on several inputs, `kinds` are the sides that are wanted, by modality or by name, all where it is None; the
    others are neither read nor built, and what they are built of is not imported.

    Raises:
        MedclError: if the folder is not a run, is unfinished, damaged, or was written by a newer medcl.
        UsageError: the run has no such side.
    """
    if not folder.is_dir():
        raise MedclError(f"{folder}: no such folder; a run folder is what `medcl pretrain -o` writes")
    if not is_run(folder):
        raise MedclError(f"{folder}: not a run folder ({ENVIRONMENT} or {CONFIG} is missing)")
    about = read_json(folder / ENVIRONMENT, _COPY)
    found = about.get("run_version")
    if not isinstance(found, int):
        raise MedclError(f"{folder / ENVIRONMENT}: does not name the version of the run folder")
    if found > RUN_VERSION:
        raise MedclError(
            f"{folder}: version {found} of the run folder, newer than this medcl reads ({RUN_VERSION}): update medcl"
        )
    path = weights_in(folder)
    if not path.is_file():
        raise MedclError(f"{folder}: pretraining has not finished; `medcl pretrain ... -o {folder} --resume` goes on")
    remedy = f"`medcl pretrain ... -o {folder} --resume` writes it again from {CHECKPOINT}"
    try:
        card = cards.from_json(weights.read_about(path, remedy))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, remedy) from error
    if kinds is not None and isinstance(card, JointCard):
        kinds = [name for kind in kinds for name in card.named(kind) or (kind,)]
    state = weights.read(path, remedy, lambda name: _is_wanted(name, card, kinds))
    encoder = network(card, path, remedy, lambda: card.build(kinds) if isinstance(card, JointCard) else card.build())
    fill(encoder, state, path, remedy)
    return Run(folder, card, encoder, read_config(folder), SeenPatients.read(_checked(folder, PATIENTS)))


def network(card: Card, path: Path, remedy: str, build: Callable[[], nn.Module]) -> nn.Module:
    """The network that a card in the file `path` describes, of classes that do not lie in its folder.

    Raises:
        MedclError: it cannot be built.
    """
    for name in cards.own_classes(card):
        check_outside(name, path.parent)
    try:
        return build()
    except (KeyError, TypeError, ValueError) as error:
        raise MedclError(f"{path}: does not hold what its encoder is built of: {remedy}") from error


def fill(network: nn.Module, state: dict[str, Tensor], path: Path, remedy: str) -> None:
    """Load weights of a file into a network, in evaluation mode.

    Raises:
        MedclError: they do not fit.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise MedclError(f"{path}: the weights do not fit the encoder that the file names: {remedy}") from error
    network.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """The recipe that a run began with; a `MedclError` where there is none, or it is damaged."""
    path = _checked(folder, next((name for name in CONFIGS if (folder / name).exists()), CONFIG))
    try:
        config = read_yaml(path, "configuration")
    except UsageError as error:
        raise MedclError(f"{error}; {_COPY}") from error
    if not isinstance(config, dict):
        raise damaged(path, _COPY)
    return config


def _checked(folder: Path, name: str) -> Path:
    """A file of a run folder, held against the checksum that was noted at the start, where one was.

    Raises:
        MedclError: it is damaged.
    """
    path = folder / name
    try:
        noted = read_json(folder / ENVIRONMENT, _COPY).get(_SUMS, {})
        if name in noted and file_checksum(path) != noted[name]:
            raise damaged(path, _COPY)
    except (OSError, TypeError) as error:
        raise damaged(path, _COPY) from error
    return path


def load_volumes(folder: Path) -> Run[VolumeCard, ImageEncoder]:
    """Load a finished run on volumes.

    Raises:
        MedclError: as `load`, or its encoder is one of recordings.
    """
    return cast(Run[VolumeCard, ImageEncoder], _of_kind(load(folder), VolumeCard, "volumes"))


def load_joint(folder: Path, kinds: Collection[str] | None = None) -> Run[JointCard, MultimodalEncoder]:
    """Load a finished run on several modalities, or some of its sides, as `load`.

    Raises:
        MedclError: as `load`, or its encoder is one of a single modality.
    """
    return cast(Run[JointCard, MultimodalEncoder], _of_kind(load(folder, kinds), JointCard, "several modalities"))


def _is_wanted(name: str, card: Card, kinds: Collection[str] | None) -> bool:
    """Whether a weight is of the sides that are wanted, or of what all share.

    The second part of its name is that of its side; of codes that sides share it is the third one of the queries.
    """
    if kinds is None or not isinstance(card, JointCard):
        return True
    first, *parts = name.split(".")
    if first == "codes":
        return parts[0] != "queries" or parts[1] in kinds
    return parts[0] in kinds


def _of_kind(run: Run[Any, Any], kind: type[Card], what: str) -> Run[Any, Any]:
    if not isinstance(run.card, kind):
        raise MedclError(f"{run.folder}: its encoder was not trained on {what}")
    return run


def guard(run: Run[Any, Any], manifest: Manifest, rows: np.ndarray, *, allow: bool = False) -> str | None:
    """Refuse to test on patients that the run was trained on, unless that is allowed.

    Returns:
        A sentence for the report where something must be said, else None.

    Raises:
        LeakError: if a test patient was trained on and `allow` is not set.
    """
    if run.patients.coded_with != manifest.metadata.get("salt"):
        return (
            "The patients of the pretraining cannot be compared with the test patients: the two manifests were "
            "coded with different salts (another site, or another MEDCL_SALT)."
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
