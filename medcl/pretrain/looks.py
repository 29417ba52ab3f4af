"""One look at a model: held-out losses, and the embeddings of validation patients measured."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple, cast

import torch
from torch import Tensor

from medcl.contrast.losses.uniformity import alignment, uniformity
from medcl.contrast.pairings.pairs import itself
from medcl.engine.fabric import Fabric
from medcl.modality.sampling import Batch
from medcl.pretrain.batches import Source
from medcl.pretrain.lookups import Lookups
from medcl.pretrain.model import Model
from medcl.pretrain.objectives.base import Objective
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.passes import Seen
from medcl.pretrain.plan import Plan
from medcl.pretrain.recipe import StageConfig
from medcl.pretrain.views import Wanted, draw_views
from medcl.stats.collapse import dead_share, knn_accuracy, modality_gap
from medcl.stats.embedding_space import effective_rank

VIEWS = Wanted(copies=1, original=True)
"""Each sample as it is, and one view of it."""


class Embedded(NamedTuple):
    """The samples of one input.

    Args:
        z: (n, dim) embeddings of samples as they are.
        changed: (n, dim) of a view of each.
        places: (n,) of the samples among all that were looked at.
        patients: (n,) ids.
        classes: (n,) of the target; -1 without one.
    """

    z: Tensor
    changed: Tensor
    places: Tensor
    patients: Tensor
    classes: Tensor


def look(
    model: Model, plan: Plan, stage: StageConfig, weights: Mapping[str, float], fabric: Fabric
) -> dict[str, float]:
    """The values of a row of a model at rest, by column; NaN where they are not known."""
    assert plan.held is not None
    recipe, held = plan.recipe, plan.held
    losses: dict[str, list[float]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    embedded: dict[str, list[Embedded]] = defaultdict(list)
    sides: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = defaultdict(list)
    names = tuple(dict.fromkeys(name.partition(".")[0] for name in weights))
    before = 0
    for number, batch in _batches(plan, stage, held.source, fabric):
        for name, loss in _losses(model, batch, _generator(plan, number), names, shares).items():
            losses[name].append(float(loss))
        for name, (seen, own) in _embedded(model, plan, batch, number, before, model.lookups).items():
            embedded[name].append(own)
            for objective in _projecting(model, name):
                z = objective.head(name)(seen.pooled).float().cpu()
                sides[objective.name, name].append((z[: seen.n], own.places))
        before += len(batch["index"])
    row = {name: sum(values) / len(values) for name, values in losses.items()}
    row["total"] = sum(weights[name] * value for name, value in row.items())
    inputs = {name: _joined(parts) for name, parts in embedded.items()}
    for name, one in inputs.items():
        row[f"rank.{name}"], row[f"dead.{name}"] = effective_rank(one.z.numpy()), dead_share(one.z)
        row[f"alignment.{name}"] = float(alignment(one.z, one.changed, itself(one.z))) if len(one.z) else float("nan")
        row[f"uniformity.{name}"] = float(uniformity(one.z)) if len(one.z) > 1 else float("nan")
    row |= _between(model, {key: tuple(map(torch.cat, zip(*parts, strict=True))) for key, parts in sides.items()})
    row |= {f"positives.{name}": sum(values) / len(values) for name, values in shares.items()}
    if recipe.monitor.target:
        # The k-NN accuracy of each input, among as many batches of what is trained on.
        bank: dict[str, list[Embedded]] = defaultdict(list)
        for number, batch in _batches(plan, stage, plan.source, fabric):
            for name, (_, own) in _embedded(model, plan, batch, number, 0, held.trained).items():
                bank[name].append(own)
        for name, one in inputs.items():
            known = _joined(bank[name])
            sets = one.z, one.classes, one.patients, known.z, known.classes, known.patients
            row[f"knn.{name}"] = knn_accuracy(*sets, recipe.monitor.neighbours)
    return row


def _batches(plan: Plan, stage: StageConfig, source: Source, fabric: Fabric) -> Iterator[tuple[int, Batch]]:
    partitions = max(plan.recipe.objectives[name].partitions for name in stage.objectives)
    found = source.batches(partitions, plan.recipe.seed, 0, plan.recipe.monitor.batches, 0, 0, 1)
    return enumerate(map(fabric.to_device, found))


def _generator(plan: Plan, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(plan.recipe.seed * 1009 + number)


def _losses(
    model: Model, batch: Batch, generator: torch.Generator, names: tuple[str, ...], shares: dict[str, list[float]]
) -> dict[str, Tensor]:
    """The losses of those objectives that have a positive in the batch; the share of anchors with one is noted."""
    step = model.step(batch, generator, names)
    able = []
    for name in names:
        objective = cast(Objective, model.objectives[name])
        share = objective.positive_share(step)
        if share is not None:
            shares[name].append(share)
        # One that keeps something for every record that is trained on has nothing for others.
        if share != 0 and getattr(objective, "state", None) is None:
            able.append(name)
    return model.losses(step, able) if able else {}


def _embedded(
    model: Model, plan: Plan, batch: Batch, number: int, before: int, lookups: Lookups
) -> dict[str, tuple[Seen, Embedded]]:
    """Of each input the samples as they are and a view of each."""
    target, generator = plan.recipe.monitor.target, _generator(plan, number)
    found = {}
    for name in model.made:
        x, there = model.samples(batch, name)
        drawn = draw_views(x, model.made[model.source(name)].views(""), VIEWS, generator, None)
        seen = Seen(drawn, VIEWS.blocks, model.encoders[name], {}, cache=model.caches.get(name))
        z, changed = seen.pooled.float().cpu().tensor_split(2)
        patients = batch["ids"]["patient"][there].cpu()
        classes = lookups.of(batch)[f"{LABEL}{target}"][there].cpu() if target else torch.full_like(patients, -1)
        found[name] = seen, Embedded(z, changed, there.nonzero()[:, 0].cpu() + before, patients, classes)
    return found


def _projecting(model: Model, name: str) -> list[Contrast]:
    """Objectives that compare whole embeddings of an input with those of others."""
    every = (one for one in model.objectives.values() if isinstance(one, Contrast))
    return [one for one in every if name in one.config.between and not (one.config.dense or one.head_config.map)]


def _joined(parts: list[Embedded]) -> Embedded:
    return Embedded(*map(torch.cat, zip(*parts, strict=True)))


def _between(model: Model, sides: Mapping[tuple[str, str], tuple[Tensor, ...]]) -> dict[str, float]:
    """The gap and the alignment of every two inputs that an objective compares."""
    row: dict[str, float] = {}
    for objective in dict.fromkeys(name for name, _ in sides):
        for a, b in combinations(cast(Contrast, model.objectives[objective]).config.between, 2):
            (first, places), (second, others) = sides[objective, a], sides[objective, b]
            row[f"gap.{objective}.{a}-{b}"] = modality_gap(first, second)
            shared = torch.isin(places, others), torch.isin(others, places)
            if shared[0].any():
                z, partner = first[shared[0]], second[shared[1]]
                row[f"alignment.{objective}.{a}-{b}"] = float(alignment(z, partner, itself(z)))
    return row
