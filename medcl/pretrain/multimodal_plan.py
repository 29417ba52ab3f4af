"""Pretraining on several modalities: from a manifest to one stage of a method."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric
from torch import nn

from medcl import runs
from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.data.pairs import Pairs
from medcl.data.sampler import Sampler, loader
from medcl.errors import UsageError
from medcl.modality import wing
from medcl.modality.sampling import Batch
from medcl.modality.spec import Card, JointCard
from medcl.networks.multimodal import MultimodalEncoder
from medcl.pretrain.convirt import ConVIRT
from medcl.pretrain.initialise import check_seen
from medcl.pretrain.multimodal import Multimodal, losses_of
from medcl.pretrain.multimodal_config import MultimodalPretrainConfig
from medcl.pretrain.multimodal_sides import Made, encoder_in, make
from medcl.pretrain.plan import PlannedStage, TrainingPlan, left_out
from medcl.pretrain.simclr import SimCLR
from medcl.pretrain.towers import Towers


def plan(
    config: MultimodalPretrainConfig, manifest: Manifest, chosen: Manifest, store: Path, fabric: Fabric
) -> TrainingPlan:
    """Say what is trained.

    Args:
        config: the recipe.
        manifest: all readable records, which are prepared.
        chosen: those that are trained on.
        store: folder in which records are prepared once.
        fabric: device and processes.

    Raises:
        UsageError: the archive does not have what the recipe needs.
        MedclError: no records of a kind, or none that belong together.
    """
    own = config.joint
    made = {kind: make(kind, side, manifest, chosen, store) for kind, side in config.sides.items()}
    incomplete = config.method == "multimodal" and own.loss in ("anchored", "symile")
    needs = own.anchor if own.loss == "anchored" and config.method == "multimodal" else ""
    draws = {kind: side.draws for kind, side in made.items()}
    pairs = Pairs(draws, chosen, links(chosen), incomplete=incomplete, needs=needs, seed=config.seed)
    if fabric.world_size > 1 and not pairs.complete:
        raise UsageError(
            f"hardware.devices: {config.hardware.devices}, but some records lack a modality, and a device whose share "
            "of a batch lacks it would run out of step with the others; take one device"
        )
    sampler = Sampler.drawing(pairs, patients=config.batch.patients, records=config.batch.records, seed=config.seed)
    patients = np.unique(chosen.column("patient")[pairs.members])
    initial = _initial(config, patients.tolist(), str(manifest.metadata["salt"]))

    def batches(start: int, stop: int) -> Iterable[Batch]:
        return loader(
            pairs, sampler, start, stop, config.hardware.workers, rank=fabric.global_rank, world=fabric.world_size
        )

    def method(before: nn.Module | None) -> nn.Module:
        return _method(config, made, initial, pairs, shared=fabric.world_size > 1)

    cards = {kind: side.card for kind, side in made.items()}
    width = own.width if own.local > 0 and config.method != "simclr" else 0
    card: Card = JointCard(cards, own.hidden, own.projection, width)
    weights = losses_of(tuple(made), own)
    if config.method != "multimodal":
        weights = {"global": 1.0, **({"local": own.local} if width else {})}
    counts = {f"{wing(kind).plural} could not be prepared": side.missing for kind, side in made.items()}
    sides: dict[str, Any] = {kind: side.side for kind, side in made.items()}
    return TrainingPlan(
        config=replace(config, **sides),
        patients=patients,
        size=f"{len(pairs)} {'records' if config.method == 'simclr' else 'linked records'}",
        stages=(PlannedStage("", method, weights, batches, config.optimiser),),
        encoder=_encoder,
        card=next(iter(cards.values())) if config.method == "simclr" else card,
        left_out=left_out(counts | pairs.left_out),
    )


def _initial(config: MultimodalPretrainConfig, patients: list[int], salt: str) -> dict[str, nn.Module]:
    """The encoders of other runs that sides start from."""
    initial = {}
    for kind, side in config.sides.items():
        if side.init:
            run = runs.load(Path(side.init))
            check_seen(run, patients, salt, f"{kind}.init")
            initial[kind] = encoder_in(run, kind)
    return initial


def _method(
    config: MultimodalPretrainConfig,
    made: dict[str, Made],
    initial: dict[str, nn.Module],
    pairs: Pairs,
    *,
    shared: bool,
) -> nn.Module:
    own = config.joint
    sides: dict[str, nn.Module] = {kind: side.encoder() for kind, side in made.items()}
    for kind, encoder in initial.items():
        try:
            sides[kind].load_state_dict(encoder.state_dict())
        except RuntimeError as error:
            raise UsageError(f"{kind}.encoder: differs from the network of the run that initialises it") from error
    local = own.width if own.local > 0 and config.method != "simclr" else 0
    joint = MultimodalEncoder(sides, own.hidden, own.projection, local)
    views = {str(kind): side.views for kind, side in made.items() if side.views is not None}
    locked = [kind for kind, side in config.sides.items() if side.locked]
    towers = Towers(joint, views, locked, config.hardware.chunk, own.dropout)
    if config.method == "simclr":
        return SimCLR(towers, own, shared=shared)
    method = ConVIRT if config.method == "convirt" else Multimodal
    return method(towers, own, pairs.id_names, shared=shared)


def _encoder(method: nn.Module) -> nn.Module:
    assert isinstance(method, ConVIRT | Multimodal | SimCLR)
    return method.encoder
