"""Where batches come from: samples of one input with all their levels, linked records of several, or memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.data.loader import loader
from medcl.data.pairs import Linkable, Pairs
from medcl.data.sampler import Sampler
from medcl.data.samples import InMemory, Samples
from medcl.errors import UsageError
from medcl.modality import WINGS, wing
from medcl.modality.rows import Ints
from medcl.modality.sampling import Batch
from medcl.pretrain.inputs import Made, channels_elsewhere
from medcl.pretrain.lookups import Columns
from medcl.pretrain.recipe import BatchConfig, InputConfig, Recipe
from medcl.spelling import not_a_choice

_IN_MEMORY = ("signal", "image", "volume")


@dataclass(frozen=True)
class Source:
    """Where batches come from.

    Args:
        dataset: with what its samples belong to.
        sizes: of a batch, as `Sampler` takes them.
        patients: codes of those trained on.
        size: what is trained on, in words: `1200 windows`.
        left_out: sentences about records that are not trained on, if any.
        id_names: of the ids of a batch.
    """

    dataset: Any
    sizes: Mapping[str, Any]
    patients: Ints
    size: str
    left_out: str
    id_names: tuple[str, ...]

    def sampler(self, partitions: int, seed: int) -> Sampler:
        """Draws batches, of volumes from so many equal parts."""
        if hasattr(self.dataset, "draw"):
            return Sampler.drawing(self.dataset, **self.sizes, partitions=partitions, seed=seed)
        return Sampler(self.dataset.patients, self.dataset.units, **self.sizes, seed=seed)

    def batches(
        self, partitions: int, seed: int, start: int, stop: int, workers: int, rank: int, world: int
    ) -> Iterable[Batch]:
        """The batches of some steps, of one process."""
        return loader(self.dataset, self.sampler(partitions, seed), start, stop, workers, rank=rank, world=world)


def source(recipe: Recipe, made: Mapping[str, Made], chosen: Manifest) -> Source:
    """The batches of a recipe: samples of one input with all their levels, or linked records of several.

    Raises:
        MedclError: no records are left, or none belong together.
    """
    real = {name: one for name, one in made.items() if not recipe.inputs[name].like}
    batch = recipe.batch
    if len(real) == 1:
        (only,) = real.values()
        own = wing(only.config.modality)
        samples = own.levels(only.store, chosen, only.data)
        if samples is not None:
            return _of_levels(recipe, samples, chosen)
    names = sorted(real, key=lambda name: made[name].config.modality == WINGS[-1])
    draws = {name: cast(Linkable, made[name].draws) for name in names}
    modalities = {name: made[name].config.modality for name in names}
    two = [set(one.inputs) for one in recipe.objectives.values() if len(one.inputs) == 2]
    needed = set.intersection(*two) if two and len(two) == len(recipe.objectives) else set()
    pairs = Pairs(
        draws,
        chosen,
        links(chosen),
        modalities=modalities,
        incomplete=batch.incomplete,
        needs=needed.pop() if batch.incomplete and len(needed) == 1 else "",
        seed=recipe.seed,
    )
    counts = {f"{wing(modalities[name]).plural} could not be prepared": made[name].missing for name in names}
    return Source(
        pairs,
        {"patients": batch.drawn, "records": batch.records}
        | _source(batch.source, chosen, pairs.patients)
        | repeated(batch, chosen, pairs.patients),
        np.unique(chosen.column("patient")[pairs.members]),
        f"{len(pairs)} {'records' if len(names) == 1 else 'linked records'}",
        _sentence(counts | pairs.left_out),
        pairs.id_names,
    )


def _source(column: str, chosen: Columns, patients: Ints) -> dict[str, Ints]:
    """Where the patients come from, as the sampler takes it; errors are those of `_said`."""
    if not column:
        return {}
    said = _said("batch.source", column, chosen, patients)
    return {"source": np.unique(said, return_inverse=True)[1].astype(np.int64)}


def repeated(batch: BatchConfig, chosen: Columns, patients: Ints) -> dict[str, Ints]:
    """How often the patients come in an epoch, as the sampler takes it.

    Raises:
        UsageError: as `_said`, or no patient is of the value that repeats.
    """
    if not batch.repeat:
        return {}
    column, _, value = batch.repeat.partition("=")
    said = _said("batch.repeat", column, chosen, patients)
    if not (said == value).any():
        there = sorted({one for one in said.tolist() if one})[:8]
        raise UsageError(f"batch.repeat: {column}: {not_a_choice(value, there)}, the values of those trained on")
    return {"repeat": np.where(said == value, batch.times, 1)}


def _said(where: str, column: str, chosen: Columns, patients: Ints) -> NDArray[Any]:
    """What a column says of some patients, in words: of any of their records; nothing where it says nothing.

    Raises:
        UsageError: there is no such column.
    """
    if not chosen.has(column):
        there = chosen.table.column_names if isinstance(chosen, Manifest) else chosen.targets
        raise UsageError(f"{where}: {not_a_choice(column, there)}, the columns of the manifest")
    patient, values = chosen.column("patient"), chosen.column(column).tolist()
    codes = np.where(patient >= 0, patient, -2 - np.arange(len(patient))).tolist()
    known = {code: str(value) for code, value in zip(codes, values, strict=True) if value is not None}
    return np.array([known.get(code, "") for code in patients.tolist()])


def _of_levels(recipe: Recipe, samples: Any, chosen: Manifest) -> Source:
    """Samples of records whose levels are distinguished: windows of recordings, patches of volumes."""
    batch = recipe.batch
    if batch.source:
        raise UsageError("batch.source: is of linked records and reports; for others take `within` of an objective")
    sizes: dict[str, Any] = {"patients": batch.drawn, "records": batch.records, "samples": batch.samples}
    if hasattr(samples, "draw"):
        sizes |= {"reuse": batch.reuse, "buffer": batch.buffer}
    sizes |= repeated(batch, chosen, samples.patients)
    return Source(
        samples,
        sizes,
        np.unique(samples.patients),
        f"{len(samples)} {samples.counted}",
        "\n".join(filter(None, (_sentence(samples.left_out), samples.note))),
        tuple(samples.id_names),
    )


def _sentence(counts: Mapping[str, int]) -> str:
    """The sentence about records that are not trained on; empty where there are none."""
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"left out: {said}" if said else ""


@dataclass(frozen=True)
class _Shape:
    """What a wing's spec reads of a store."""

    channels: tuple[str, ...]
    n_channels: int
    sampling_rate: float


def made_of(recipe: Recipe, given: Mapping[str, Any]) -> tuple[dict[str, Made], Source, InMemory]:
    """The inputs of a recipe from samples in memory.

    Args:
        recipe: the whole.
        given: {input: samples}, see `Samples.of`.

    Raises:
        UsageError: an input has no samples, or they do not fit its settings.
    """
    real = [name for name, one in recipe.inputs.items() if not one.like]
    for name in given:
        if name not in real:
            raise UsageError(f"samples: {not_a_choice(name, real)}")
    if missing := [name for name in real if name not in given]:
        raise UsageError(f"samples: none for the input {', '.join(missing)}")
    data = InMemory({name: Samples.of(given[name], name) for name in real})
    made = {
        name: _made(name, config, data.samples[config.like or name], channels_elsewhere(recipe, name))
        for name, config in recipe.inputs.items()
    }
    batch = recipe.batch
    sizes: dict[str, Any] = {"patients": batch.drawn, "records": batch.records, "samples": batch.samples}
    sizes |= _source(batch.source, data, data.patients) | repeated(batch, data, data.patients)
    size = f"{len(data)} samples"
    return made, Source(data, sizes, np.unique(data.patients), size, "", data.id_names), data


def _made(name: str, config: InputConfig, samples: Samples, elsewhere: tuple[str, ...]) -> Made:
    if config.modality not in _IN_MEMORY:
        raise UsageError(f"samples[{name!r}]: {wing(config.modality).plural} are trained on from an archive only")
    first = samples.read([0])
    n_channels, *size = (int(one) for one in first.shape[1:])
    rate = float(samples.sampling_rate or getattr(config.data, "sampling_rate", None) or 1.0)
    channels = tuple(samples.channels) or tuple(f"channel {one + 1}" for one in range(n_channels))
    if len(channels) != n_channels:
        raise UsageError(f"samples[{name!r}].channels: {len(channels)} names of {n_channels} channels")
    changes = {"window": size[0] / rate, "sampling_rate": rate, "channels": list(channels)}
    data: Any = replace(config.data, **changes) if hasattr(config.data, "sampling_rate") else config.data
    shape = _Shape(channels, n_channels, rate)
    return Made.of(name, config, data, shape, config.modality, first, elsewhere=elsewhere)
