"""The experiment of `medcl finetune` on label maps: every label fraction and repeat, pretrained and random weights.

A repeat is one seed: it draws the labelled subsets (nested over the fractions), the validation volumes, the random
weights and everything in training. Both initialisations get the same of each, so that their difference is a paired one.
The test volumes are predicted once by each finished network.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from joblib import delayed
from torch import nn
from tqdm.auto import tqdm

from medcl import files, runs, weights
from medcl.archive.manifest import Manifest, Masks
from medcl.archive.stratify import Ints
from medcl.data.store import open_store
from medcl.documents import build as built
from medcl.documents import plain, read_json, sealed
from medcl.embed.encoders import device
from medcl.engine.parallel import workers
from medcl.errors import MedclError
from medcl.evaluate.config import Init, SegmentationConfig
from medcl.evaluate.fractions import Ordering, Subset, draw, random_order
from medcl.evaluate.segment_predict import HeldOut, overlap_of
from medcl.evaluate.segment_results import SegmentCell
from medcl.evaluate.segment_train import build, train
from medcl.modality.spatial.encoders.base import ImageEncoder
from medcl.modality.spec import VolumeCard
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.prepare import slice_axis
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.store import VolumeStore

INITS: tuple[Init, ...] = get_args(Init)


@dataclass(frozen=True)
class SegmentSetting:
    """All that a cell needs; small enough to be sent to a process, since the store is opened there.

    Finished cells lie in the folder `cells`. Rows are those with a usable label map; of `test` they are predicted once.
    """

    run: Path
    store: Path
    cells: Path
    manifest: Manifest
    masks: Masks
    data: VolumeConfig
    config: SegmentationConfig
    train: Ints
    validation: Ints
    test: Ints

    def patches(self, rows: Ints) -> VolumePatches:
        """Patches of some rows, with their labels."""
        store: VolumeStore = open_store(self.store, "volume")
        return VolumePatches(store, self.manifest.select(rows), self.data, mask=self.masks.name)

    @property
    def held_out(self) -> HeldOut:
        """The test volumes."""
        return HeldOut(self.store, self.manifest, self.test, self.masks, self.data)


@dataclass(frozen=True)
class SegmentWork:
    """One network to be trained: initialisation, subset, repeat, validation rows, and the name of its cell."""

    init: Init
    subset: Subset
    repeat: int
    validation: Ints
    name: str


def subsets(setting: SegmentSetting) -> list[list[Subset]]:
    """The labelled subsets of every repeat, in ascending order of size.

    Raises:
        MedclError: no training volume has a label map, or a fraction asks for more than there are.
    """
    config = setting.config

    def ordered(seed: int) -> Ordering:
        return random_order(setting.manifest, setting.train, unit=config.unit, seed=seed)

    return draw(ordered, config.labels, repeats=config.repeats, seed=config.seed)


def plan(
    setting: SegmentSetting, card: VolumeCard, encoder: ImageEncoder, drawn: list[list[Subset]]
) -> list[SegmentWork]:
    """All networks of the experiment, in the order in which they are shown."""
    ids, config = setting.manifest.column("record_id"), setting.config
    # Of a U-Net, how much of it was pretrained does not change what random weights are.
    network = {"dim": 0, "stride": None, "pooling": "mean"} if card.encoder.name == "unet" else {}
    common = {
        "network": asdict(replace(card.encoder, **network)),  # type: ignore[arg-type]
        "channels": card.n_channels,
        "data": asdict(replace(setting.data, largest=0.0)),
        "store": setting.store.name,
        "masks": asdict(setting.masks),
        "segment": {**asdict(config.segment), "overlap": overlap_of(config.segment.overlap, slice_axis(setting.data))},
        "test": list(ids[setting.test]),
    }
    start = {"pretrained": _hash_of(encoder), "random": "random"}
    work = []
    for init in INITS:
        for repeat, subset_list in enumerate(drawn):
            count = config.segment.validation_volumes
            validation = _one_each(setting.manifest, setting.validation, count, config.seed + repeat)
            for subset in subset_list:
                about = {
                    **common,
                    "weights": start[init],
                    "seed": config.seed + repeat,
                    "train": list(ids[subset.rows]),
                    "validation": list(ids[validation]),
                }
                work.append(SegmentWork(init, subset, repeat, validation, _name_of(about)))
    return work


def run_all(setting: SegmentSetting, work: Sequence[SegmentWork]) -> list[SegmentCell]:
    """Train what is not finished, in processes of one thread each, so that the numbers do not depend on their number.

    Every network is kept as soon as it is trained and tested: an interrupted evaluation goes on where it stopped.
    Returns one cell a network, in the order of `work`.
    """
    known = [_kept(setting.cells, one.name, with_weights=one.repeat == 0) for one in work]
    missing = [one for one, cell in zip(work, known, strict=True) if cell is None]
    # A GPU is shared by as many processes as are asked for, and is one's own otherwise.
    every = 1 if torch.cuda.is_available() else os.cpu_count() or 1
    jobs = setting.config.jobs if setting.config.jobs > 0 else every
    fresh: dict[str, SegmentCell] = {}
    parallel = workers(max(1, min(jobs, len(missing))), return_as="generator_unordered", batch_size=1)
    finished = parallel(delayed(_run)(setting, one) for one in missing)
    with tqdm(total=len(work), initial=len(work) - len(missing), unit="network", disable=None) as bar:
        for name, cell in finished:
            fresh[name] = cell
            bar.update()
    cells = [(one, cell or fresh[one.name]) for one, cell in zip(work, known, strict=True)]
    # Under the fraction's name in this evaluation: `1` and `10%` may be the same patients.
    return [replace(cell, label=one.subset.label, repeat=one.repeat) for one, cell in cells]


def _run(setting: SegmentSetting, one: SegmentWork) -> tuple[str, SegmentCell]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config, n_classes = setting.config, len(setting.masks.classes)
        seed = config.seed + one.repeat
        run = runs.load_volumes(setting.run)
        network = build(run.card, n_classes, seed, run.encoder if one.init == "pretrained" else None)
        validation = setting.patches(one.validation) if len(one.validation) else None
        labelled = setting.patches(one.subset.rows)
        curve = train(network, labelled, validation, n_classes, config.segment, seed=seed, device=device())
        dice, hd95 = setting.held_out.measure(network, config.segment.overlap, device())
        cell = SegmentCell(one.init, one.subset.label, one.repeat, seed, dice, hd95, curve)
        _keep(setting.cells, one.name, cell, network if one.repeat == 0 else None)
        return one.name, cell
    finally:
        torch.set_num_threads(threads)


def kept(setting: SegmentSetting, work: Sequence[SegmentWork]) -> Iterator[tuple[SegmentWork, nn.Module]]:
    """The networks of repeat 0 whose weights were kept."""
    card = runs.load_volumes(setting.run).card
    for one in work:
        if one.repeat == 0:
            network = build(card, len(setting.masks.classes), setting.config.seed)
            if _restore(setting.cells, one.name, network):
                yield one, network


def _one_each(manifest: Manifest, rows: Ints, count: int, seed: int) -> Ints:
    """One volume, of the rows (R,) with a usable label map, of each of `count` patients, or of as many as there are."""
    _, first = np.unique(manifest.column("patient")[rows], return_index=True)
    # In the order of the manifest, which does not depend on how the patients are coded.
    volumes = rows[np.sort(first)]
    chosen = np.random.default_rng([seed, 1]).permutation(len(volumes))[:count]
    return np.sort(volumes[chosen])


_VERSION = 1
"""Raised when the same settings give other numbers."""


def _name_of(about: Mapping[str, Any]) -> str:
    """The name of a cell: a hash of all that its numbers depend on."""
    text = json.dumps([_VERSION, torch.__version__, plain(about)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _hash_of(network: nn.Module) -> str:
    """Hash of all weights of a network."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in weights.of(network).items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _keep(folder: Path, name: str, cell: SegmentCell, network: nn.Module | None) -> None:
    """Keep a finished cell, whole or not at all.

    Weights of a network are kept as well, and written before the numbers, which say that the cell is finished.
    """
    if network is not None:
        weights.write(folder / f"{name}.safetensors", weights.of(network))
    files.write(folder / f"{name}.json", json.dumps(sealed(plain(cell)), allow_nan=False))


def _kept(folder: Path, name: str, *, with_weights: bool) -> SegmentCell | None:
    """A finished cell; None where there is none, or its files are damaged, so that it has to be computed anew."""
    path = folder / f"{name}.json"
    if not path.is_file() or (with_weights and not path.with_suffix(".safetensors").is_file()):
        return None
    try:
        cell: SegmentCell = built(SegmentCell, read_json(path, "remove it"), "cell")
    except (OSError, ValueError, MedclError):
        return None
    return cell


def _restore(folder: Path, name: str, network: nn.Module) -> bool:
    """Give a network the kept weights of a cell; False where they cannot be read."""
    try:
        network.load_state_dict(weights.read(folder / f"{name}.safetensors", "remove it"))
    except (MedclError, RuntimeError):
        return False
    return True
