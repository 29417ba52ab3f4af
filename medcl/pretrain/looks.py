"""One look at a model: held-out losses, and the embeddings of validation patients measured."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import torch
from lightning.fabric import Fabric
from torch import Tensor

from medcl.contrast.losses.uniformity import alignment, uniformity
from medcl.contrast.pairings.pairs import itself
from medcl.modality.sampling import Batch
from medcl.pretrain.batches import Source
from medcl.pretrain.held_out import HeldOut
from medcl.pretrain.lookups import Lookups
from medcl.pretrain.measures import dead_share, effective_rank, knn_accuracy, modality_gap
from medcl.pretrain.model import Model
from medcl.pretrain.objectives.base import Objective
from medcl.pretrain.objectives.contrast import Contrast
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.passes import Seen, TextCache
from medcl.pretrain.recipe import Recipe, StageConfig
from medcl.pretrain.views import Wanted, draw_views

VIEWS = Wanted(copies=1, original=True)
"""Each sample as it is, and one view of it."""


@dataclass(frozen=True)
class Embedded:
    """The embeddings of one input, or of one side of an objective, collected over batches.

    Args:
        z: (n, dim) of samples as they are.
        changed: (n, dim) of a view of each.
        places: (n,) of the samples among all that were looked at.
    """

    z: Tensor
    changed: Tensor
    places: Tensor


class Look:
    """What is computed of a model each time.

    Args:
        recipe: the whole.
        stage: that is trained.
        held: what is looked at.
        trained: what is trained on, among which neighbours are found.
        fabric: device and precision.
    """

    def __init__(self, recipe: Recipe, stage: StageConfig, held: HeldOut, trained: Source, fabric: Fabric) -> None:
        self._recipe, self._stage, self._held, self._trained, self._fabric = recipe, stage, held, trained, fabric

    def __call__(self, model: Model, weights: Mapping[str, float]) -> dict[str, float]:
        """The values of a row, by column; NaN where they are not known.

        Args:
            model: at rest.
            weights: of the losses in the sum.
        """
        losses: dict[str, list[float]] = defaultdict(list)
        shares: dict[str, list[float]] = defaultdict(list)
        embedded: dict[str, list[Embedded]] = defaultdict(list)
        sides: dict[tuple[str, str], list[Embedded]] = defaultdict(list)
        classes, patients = defaultdict(list), defaultdict(list)
        before = 0
        names = tuple(dict.fromkeys(name.partition(".")[0] for name in weights))
        for number, held in enumerate(self._batches(self._held.source)):
            batch = self._fabric.to_device(held)
            for name, loss in self._losses(model, batch, self._generator(number), names, shares).items():
                losses[name].append(float(loss))
            for name, seen in self._views(model, batch, self._generator(number)).items():
                _, there = model.samples(batch, name)
                places = there.nonzero()[:, 0].cpu() + before
                embedded[name].append(_embedded(seen.pooled, places))
                for objective in _projecting(model, name):
                    sides[objective.name, name].append(_embedded(objective.head(name)(seen.pooled), places))
                patients[name].append(batch["ids"]["patient"][there].cpu())
                classes[name].append(self._classes(model.lookups, batch, there))
            before += len(batch["index"])
        row = {name: sum(values) / len(values) for name, values in losses.items()}
        row["total"] = sum(weights[name] * value for name, value in row.items())
        inputs = {name: _joined(parts) for name, parts in embedded.items()}
        for name, one in inputs.items():
            row[f"rank.{name}"], row[f"dead.{name}"] = effective_rank(one.z), dead_share(one.z)
            row[f"alignment.{name}"] = (
                float(alignment(one.z, one.changed, itself(one.z))) if len(one.z) else float("nan")
            )
            row[f"uniformity.{name}"] = float(uniformity(one.z)) if len(one.z) > 1 else float("nan")
        row |= _between(model, {key: _joined(parts) for key, parts in sides.items()})
        row |= {f"positives.{name}": sum(values) / len(values) for name, values in shares.items()}
        if self._recipe.monitor.target:
            held_out = {
                name: (one.z, torch.cat(classes[name]), torch.cat(patients[name])) for name, one in inputs.items()
            }
            row |= self._neighbours(model, held_out)
        return row

    def _batches(self, source: Source) -> Iterable[Batch]:
        partitions = max(self._recipe.objectives[name].partitions for name in self._stage.objectives)
        return source.batches(partitions, self._recipe.seed, 0, self._recipe.monitor.batches, 0, 0, 1)

    def _losses(
        self,
        model: Model,
        batch: Batch,
        generator: torch.Generator,
        names: tuple[str, ...],
        shares: dict[str, list[float]],
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

    def _views(self, model: Model, batch: Batch, generator: torch.Generator) -> dict[str, Seen]:
        """Of each input the samples as they are and a view of each."""
        found = {}
        for name in model.made:
            x, _ = model.samples(batch, name)
            source = model.recipe.inputs[name].like or name
            drawn = draw_views(x, model.made[source].views(""), VIEWS, generator, None)
            found[name] = Seen(drawn, VIEWS.blocks, model.encoders[name], {}, cache=model.caches.get(name))
        return found

    def _classes(self, lookups: Lookups, batch: Batch, there: Tensor) -> Tensor:
        if not self._recipe.monitor.target:
            return torch.full((int(there.sum()),), -1)
        return lookups.of(batch)[f"{LABEL}{self._recipe.monitor.target}"][there].cpu()

    def _neighbours(self, model: Model, held: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
        """The k-NN accuracy of each input, among as many batches of what is trained on."""
        bank: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)
        for number, trained in enumerate(self._batches(self._trained)):
            batch = self._fabric.to_device(trained)
            for name, seen in self._views(model, batch, self._generator(number)).items():
                _, there = model.samples(batch, name)
                z = seen.pooled[: seen.n].float().cpu()
                patients = batch["ids"]["patient"][there].cpu()
                bank[name].append((z, self._classes(self._held.trained, batch, there), patients))
        k = self._recipe.monitor.neighbours
        found = {}
        for name, own in held.items():
            z, classes, patients = (torch.cat(parts) for parts in zip(*bank[name], strict=True))
            found[f"knn.{name}"] = knn_accuracy(*own, z, classes, patients, k)
        return found

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._recipe.seed * 1009 + number)


@contextmanager
def at_rest(model: Model, trained: Model, lookups: Lookups, caches: dict[str, TextCache]) -> Iterator[None]:
    """Evaluate a model alone on other records; afterwards all of it is as before, to the bit.

    Args:
        model: that is looked at.
        trained: the same, or that of which it is the average: an average of queues and of counters means nothing, so
            that these are taken from there.
        lookups: of the other records.
        caches: of texts, which are apart from those of training.
    """
    learned = {name for name, one in model.named_parameters() if one.requires_grad}
    held = {
        name: value.clone() if isinstance(value, Tensor) else value
        for name, value in model.state_dict().items()
        if name not in learned
    }
    modes = [(module, module.training) for module in model.modules()]
    before = model.lookups, model.shared, model.caches
    if model is not trained:
        now = trained.state_dict()
        model.load_state_dict({n: now[n] for n in held if not n.startswith("encoders.")}, strict=False)
    model.lookups, model.shared = lookups, False
    model.caches = {name: caches.setdefault(name, TextCache()) for name in model.caches}
    model.eval()
    try:
        yield
    finally:
        model.lookups, model.shared, model.caches = before
        model.load_state_dict(held, strict=False)
        for module, mode in modes:
            module.training = mode


def _projecting(model: Model, name: str) -> list[Contrast]:
    """Objectives that compare whole embeddings of an input with those of others."""
    every = (one for one in model.objectives.values() if isinstance(one, Contrast))
    return [one for one in every if name in one.config.between and not (one.config.dense or one.head_config.map)]


def _embedded(z: Tensor, places: Tensor) -> Embedded:
    z = z.float().cpu()
    half = len(z) // 2
    return Embedded(z[:half], z[half:], places)


def _joined(parts: Sequence[Embedded]) -> Embedded:
    z, changed, places = (torch.cat([getattr(one, name) for one in parts]) for name in ("z", "changed", "places"))
    return Embedded(z, changed, places)


def _between(model: Model, sides: Mapping[tuple[str, str], Embedded]) -> dict[str, float]:
    """The gap and the alignment of every two inputs that an objective compares."""
    row: dict[str, float] = {}
    for objective in dict.fromkeys(name for name, _ in sides):
        for a, b in combinations(cast(Contrast, model.objectives[objective]).config.between, 2):
            first, second = sides[objective, a], sides[objective, b]
            row[f"gap.{objective}.{a}-{b}"] = modality_gap(first.z, second.z)
            shared = torch.isin(first.places, second.places), torch.isin(second.places, first.places)
            if shared[0].any():
                z, partner = first.z[shared[0]], second.z[shared[1]]
                row[f"alignment.{objective}.{a}-{b}"] = float(alignment(z, partner, itself(z)))
    return row
