"""The inputs of a run: prepared records, encoders, views, batches, and what objectives look up in the manifest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medcl import runs
from medcl.archive.identity import is_name, site_salt
from medcl.archive.links import links, taking_part
from medcl.archive.manifest import Manifest
from medcl.data.pairs import Linkable, Pairs
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler, loader
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.modality import WINGS, own_views, wing
from medcl.modality.base import Training
from medcl.modality.own_config import OwnViewsConfig
from medcl.modality.rows import Ints
from medcl.modality.sampling import Batch
from medcl.modality.spec import JointCard, SideCard, kind_of
from medcl.modality.views import Compose
from medcl.pretrain.objectives.positives import LABEL, VALUE
from medcl.pretrain.recipe import InputConfig, Recipe

HUB_WEIGHTS = "model.safetensors"
"""The weights in a local folder of a model hub, beside its `config.json`."""


@dataclass(frozen=True)
class Made:
    """An input, ready to train.

    Args:
        config: its settings, completed by what the archive says.
        store: of all its records that could be prepared.
        draws: those that are trained on; None of samples in memory.
        encoder: makes the network of a configuration, with new weights.
        views: makes the random changes called by a name of `more_views`, or the input's own.
        card: what the encoder expects.
        data: how samples are cut, with what the archive and the encoder that training begins with add to it.
        size: of a sample: (C, ...), of texts (L,).
        dtype: of a sample.
        missing: number of chosen records that could not be prepared.
    """

    config: InputConfig
    store: Any
    draws: Linkable | None
    encoder: Callable[[Any], nn.Module]
    views: Callable[[str], Compose | None]
    card: SideCard
    data: Any
    size: tuple[int, ...]
    dtype: torch.dtype
    missing: int

    def __deepcopy__(self, memo: dict[int, Any]) -> "Made":
        """Itself: an averaged copy of a model reads the same store."""
        return self

    def nothing(self, device: torch.device) -> Tensor:
        """A batch without a sample, (0, ...)."""
        return torch.zeros((0, *self.size), dtype=self.dtype, device=device)


def make(
    name: str,
    config: InputConfig,
    manifest: Manifest,
    chosen: Manifest,
    store: Path,
    *,
    jobs: int = -1,
    strict: bool = False,
    cluster: str | None = None,
) -> Made:
    """Prepare one input.

    Args:
        name: in the recipe.
        config: its settings.
        manifest: of all modalities, all that is readable.
        chosen: what is trained on.
        store: folder in which records are prepared once.
        jobs: processes that prepare; -1 is one a core.
        strict: see `file_state.scanned`.
        cluster: see `prepare`.

    Raises:
        UsageError: the settings do not fit the archive, or `init` is of another modality.
        MedclError: there are no such records, or none can be prepared.
    """
    kind = config.modality
    own, kinds = wing(kind), chosen.kinds
    counted = np.ones(len(chosen), dtype=bool) if config.reports == "all" else taking_part(chosen, config.reports)
    where = np.flatnonzero((kinds == kind) & counted)
    if not len(where):
        there = ", ".join(f"{((kinds == one) & counted).sum()} {wing(one).plural}" for one in WINGS)
        raise MedclError(f"no {own.plural} to train on: the chosen splits of the manifest have {there}")
    begun = card_in(runs.load(Path(config.init)), kind, name) if is_run(config.init) else None
    every, trained = manifest.select(manifest.kinds == kind), chosen.select(where)
    training = Training(config.encoder, trained, begun, lambda: is_name(every, site_salt()))
    data = own.completed(config.data, every, training)
    made = prepare(every, data, store, jobs=jobs, strict=strict, cluster=cluster)
    draws = own.draws(made, trained, data)
    modality = "+".join(sorted({str(one) for one in trained.column("modality")[draws.rows]}))
    card = own.spec_of(config.encoder, data, made, modality)
    sample = draws.read([draws.draw(int(draws.rows[0]), np.random.default_rng(0))])

    @cache
    def views(called: str) -> Compose | None:
        if called and called not in config.more_views:
            raise UsageError(
                f"inputs.{name}.more_views: there is no {called!r}{did_you_mean(called, config.more_views)}"
            )
        wanted = config.more_views[called] if called else config.views
        if isinstance(wanted, OwnViewsConfig):
            return own_views.build(wanted, f"inputs.{name}.{f'more_views.{called}' if called else 'views'}")
        return own.views(wanted, data, made)

    return Made(
        # A tokenizer that comes with the weights is no setting.
        replace(config, data=data) if type(data) is type(config.data) else config,
        made,
        Linkable(draws, where),
        lambda encoder: own.encoder(own.spec_of(encoder, data, made, modality)),
        views,
        card,
        data,
        tuple(sample.shape[1:]),
        sample.dtype,
        len(trained) - len(draws.rows),
    )


def made_inputs(
    recipe: Recipe, manifest: Manifest, store: Path, jobs: int = -1, strict: bool = False, cluster: str | None = None
) -> dict[str, Made]:
    """Prepare all records of a recipe, as its training would.

    Args:
        recipe: the whole.
        manifest: of all modalities.
        store: folder in which records are prepared once.
        jobs: processes that prepare; -1 is one a core.
        strict: see `file_state.scanned`.
        cluster: see `prepare`.

    Raises:
        UsageError: as `make`.
        MedclError: as `make`.
    """
    manifest = manifest.ok()
    chosen = in_splits(manifest, recipe.splits)
    made: dict[str, Made] = {}
    for name, config in recipe.inputs.items():
        if config.like:
            # Of the same records, by an encoder of its own.
            config = replace(config, data=recipe.inputs[config.like].data)
        made[name] = make(name, config, manifest, chosen, store, jobs=jobs, strict=strict, cluster=cluster)
    return made


@dataclass(frozen=True)
class Source:
    """Where batches come from.

    Args:
        batches: `batches(sampler, start, stop)` of the training set.
        samplers: makes the sampler for a number of partitions and a seed.
        patients: codes of those trained on.
        size: what is trained on, in words: `1200 windows`.
        left_out: sentences about records that are not trained on, if any.
        id_names: of the ids of a batch.
    """

    dataset: Any
    samplers: Callable[[int, int], Sampler]
    patients: Ints
    size: str
    left_out: str
    id_names: tuple[str, ...]

    def batches(
        self, partitions: int, seed: int, start: int, stop: int, workers: int, rank: int, world: int
    ) -> Iterable[Batch]:
        """The batches of some steps, of one process."""
        return loader(self.dataset, self.samplers(partitions, seed), start, stop, workers, rank=rank, world=world)


def source(recipe: Recipe, made: Mapping[str, Made], chosen: Manifest) -> Source:
    """The batches of a recipe: samples of one input with all their levels, or linked records of several.

    Args:
        recipe: the whole.
        made: its inputs.
        chosen: what is trained on.

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
            return _of_levels(recipe, samples)
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

    def samplers(partitions: int, seed: int) -> Sampler:
        return Sampler.drawing(pairs, patients=batch.patients, records=batch.records, seed=seed)

    return Source(
        pairs,
        samplers,
        np.unique(chosen.column("patient")[pairs.members]),
        f"{len(pairs)} {'records' if len(names) == 1 else 'linked records'}",
        _sentence(counts | pairs.left_out),
        pairs.id_names,
    )


def _of_levels(recipe: Recipe, samples: Any) -> Source:
    """Samples of records whose levels are told apart: windows of recordings, patches of volumes."""
    batch = recipe.batch
    sizes: dict[str, Any] = {"patients": batch.patients, "records": batch.records, "samples": batch.samples}

    def samplers(partitions: int, seed: int) -> Sampler:
        if hasattr(samples, "draw"):
            more = {"reuse": batch.reuse, "buffer": batch.buffer, "partitions": partitions}
            return Sampler.drawing(samples, **sizes, **more, seed=seed)
        return Sampler(samples.patients, samples.units, **sizes, seed=seed)

    return Source(
        samples,
        samplers,
        np.unique(samples.patients),
        f"{len(samples)} {samples.counted}",
        "\n".join(filter(None, (_sentence(samples.left_out), samples.note))),
        tuple(samples.id_names),
    )


def _sentence(counts: Mapping[str, int]) -> str:
    """The sentence about records that are not trained on; empty where there are none."""
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"left out: {said}" if said else ""


class Columns(Protocol):
    """What is looked up in: a manifest, or the ids of samples in memory."""

    def __len__(self) -> int:
        """Number of rows."""

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""

    def column(self, name: str) -> NDArray[Any]:
        """One column: integers with -1 for null, floats with NaN, or objects with None."""

    @property
    def targets(self) -> Iterable[str]:
        """Names of the label columns."""


class Lookups:
    """What objectives look up in the manifest by row: levels, labels, values.

    Args:
        recipe: the whole.
        chosen: what is trained on.
        id_names: what a batch tells by itself.
        more: further words, with the settings that name them.

    Raises:
        UsageError: the manifest has no such column, or it does not hold numbers.
    """

    def __init__(
        self, recipe: Recipe, chosen: Columns, id_names: Sequence[str], more: Mapping[str, str] | None = None
    ) -> None:
        self.rows = len(chosen)
        self._tables: dict[str, Tensor] = {}
        names = tuple(name for name in recipe.inputs if not recipe.inputs[name].like)
        # One input has no partners, and may be called as a level of its samples is.
        self._partners = names if len(names) > 1 else ()
        for name, objective in recipe.objectives.items():
            share = float(getattr(objective, "labels", 1.0))
            for word in objective.columns:
                if word in id_names or word == "position" or word in self._tables:
                    continue
                self._tables[word] = _column(f"objectives.{name}", word, chosen, id_names, share, recipe.seed)
        for word, where in (more or {}).items():
            self._tables[word] = _column(where, word, chosen, id_names, 1.0, recipe.seed)

    def part(self, start: int, stop: int) -> "Lookups":
        """The same for some of the rows."""
        own = copy(self)
        own.rows = stop - start
        own._tables = {word: table[start:stop] for word, table in self._tables.items()}
        return own

    def __deepcopy__(self, memo: dict[int, Any]) -> "Lookups":
        """Itself: an averaged copy of a model looks up the same."""
        return self

    @staticmethod
    def table(recipe: Recipe, objective: str, word: str, chosen: Columns) -> Tensor:
        """What one objective looks up by a word, of each row of the manifest.

        Raises:
            UsageError: as the class.
        """
        share = float(getattr(recipe.objectives[objective], "labels", 1.0))
        return _column(f"objectives.{objective}", word, chosen, (), share, recipe.seed)

    def of(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """{word: (B,)} of the samples of a batch."""
        rows = batch["index"]
        found = {}
        for word, table in self._tables.items():
            table = table.to(rows.device)
            self._tables[word] = table
            own = table[rows]
            for partner in self._partners:
                other = batch["ids"].get(partner)
                if other is not None:
                    # A label of any of the linked records is one of the item.
                    of_partner = table[other.clamp(min=0)]
                    unknown = own.isnan() if own.is_floating_point() else own < 0
                    own = torch.where(unknown & (other >= 0), of_partner, own)
            found[word] = own
        return found


def _column(where: str, word: str, chosen: Columns, id_names: Sequence[str], share: float, seed: int) -> Tensor:
    """One value a row of the manifest: codes of a level or label, the unknown ones each another, or numbers."""
    column, _, value = word.removeprefix(LABEL).removeprefix(VALUE).partition("=")
    if not chosen.has(column):
        there = (*id_names, *chosen.targets)
        near = did_you_mean(column, there)
        raise UsageError(f"{where}: the archive has no ids for {column}; it has {', '.join(there)}{near}")
    found = chosen.column(column)
    if word.startswith(VALUE):
        if found.dtype.kind not in "iuf":
            raise UsageError(f"{where}: the column {column} does not hold numbers; take label:{column}")
        missing = found < 0 if found.dtype.kind in "iu" else np.isnan(found)
        return torch.from_numpy(np.where(missing, np.nan, found).astype(np.float32))
    rows = np.arange(len(found))
    if not word.startswith(LABEL):
        if found.dtype.kind not in "iu":
            raise UsageError(f"{where}: {column} is no level; take label:{column}")
        return torch.from_numpy(np.where(found >= 0, found, -2 - rows).astype(np.int64))
    # Several labels of a record are one class of their own.
    values = [
        None
        if one is None or one != one or one == -1
        else "+".join(sorted(map(str, one)))
        if isinstance(one, list)
        else str(one)
        for one in found.tolist()
    ]
    if value:
        binary = [-1 if one is None else int(value in one.split("+")) for one in values]
        if 1 not in binary or 0 not in binary:
            raise UsageError(f"{where}: the column {column} has no record of {value!r}, or no other")
        return torch.tensor(binary)
    classes = {one: place for place, one in enumerate(sorted({str(one) for one in values if one is not None}))}
    if len(classes) < 2:
        raise UsageError(f"{where}: the column {column} tells no records apart: it has {len(classes)} value(s)")
    codes = np.array([-2 - row if one is None else classes[str(one)] for row, one in enumerate(values)], dtype=np.int64)
    if share < 1:
        patients = chosen.column("patient")
        known = np.unique(patients[codes >= 0])
        kept = np.random.default_rng([seed, 7]).permutation(known)[: max(1, round(share * len(known)))]
        hidden = ~np.isin(patients, kept)
        codes[hidden] = -2 - np.flatnonzero(hidden)
    return torch.from_numpy(codes)


def in_splits(manifest: Manifest, splits: Sequence[str]) -> Manifest:
    """The records of some splits.

    Raises:
        MedclError: the manifest has no splits, or no record in these.
    """
    if not manifest.has("split"):
        raise MedclError(
            "the manifest has no splits; `medcl split` makes them, so that tested patients stay out of pretraining"
        )
    rows = np.sort(np.concatenate([manifest.split_rows(name) for name in splits])) if splits else np.arange(0)
    if not len(rows):
        raise MedclError(f"no readable record in the splits {', '.join(splits) or '(none)'} of the manifest")
    return manifest.select(rows)


def is_run(init: str) -> bool:
    """Whether an encoder begins with that of a run, rather than with a file of weights or a hub folder."""
    return bool(init) and not init.endswith(".safetensors") and not (Path(init) / HUB_WEIGHTS).is_file()


def side_in(run: runs.Run[Any, Any], kind: str, name: str) -> str:
    """The name of the encoder of one modality in a finished run: that of the input, where there is one.

    Raises:
        UsageError: it has none.
    """
    joint = isinstance(run.card, JointCard)
    found = run.card.named(kind) if joint else tuple({kind_of(run.card)} & {kind})
    if not found:
        sides = run.card.sides if joint else (kind_of(run.card),)
        raise UsageError(
            f"inputs.{name}.init: {run.folder} was trained on {', '.join(sides)}, it has no encoder of {kind}"
        )
    return name if name in found else str(found[0])


def card_in(run: runs.Run[Any, Any], kind: str, name: str) -> SideCard:
    """The card of the encoder of one modality in a finished run.

    Raises:
        UsageError: it has none.
    """
    side = side_in(run, kind, name)
    return cast(SideCard, run.card.sides[side] if isinstance(run.card, JointCard) else run.card)
