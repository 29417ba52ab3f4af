"""The inputs of a run: prepared records, encoders, views, batches, and what objectives look up in the manifest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from medcl import runs
from medcl.archive.identity import is_name, site_salt
from medcl.archive.links import taking_part
from medcl.archive.manifest import Manifest
from medcl.data.pairs import Linkable
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.modality import WINGS, own_views, wing
from medcl.modality.base import Training
from medcl.modality.own_config import OwnViewsConfig
from medcl.modality.rows import Ints
from medcl.modality.spec import JointCard, SideCard, kind_of
from medcl.modality.views import Compose
from medcl.pretrain.recipe import InputConfig, Recipe
from medcl.pretrain.views import Drawn
from medcl.spelling import not_a_choice


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
        spec: what an encoder of a configuration expects.
        channels: (C,) places in a sample of the channels that are encoded; empty are all.
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
    spec: Callable[[Any], SideCard]
    channels: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        config: InputConfig,
        data: Any,
        store: Any,
        modality: str,
        sample: Tensor,
        draws: Linkable | None = None,
        missing: int = 0,
        elsewhere: Sequence[str] = (),
    ) -> "Made":
        """An input of a name in the recipe, whose samples of a modality of the manifest are like a batch (1, ...).

        `elsewhere` are channels that inputs like this one encode.

        Raises:
            UsageError: there are no such channels, or none are left.
        """
        own = wing(config.modality)
        picked = channels_of(name, config, elsewhere, store)
        encoded = Channels(tuple(store.channels[one] for one in picked), store.sampling_rate) if picked else store

        def spec(encoder: Any) -> SideCard:
            found: SideCard = own.spec_of(encoder, data, encoded, modality)
            return found

        def network(encoder: Any) -> nn.Module:
            return own.encoder(spec(encoder), draws and draws.draws)

        @cache
        def views(called: str) -> Compose | None:
            if called and called not in config.more_views:
                raise UsageError(
                    f"inputs.{name}.more_views: there is no {called!r}{did_you_mean(called, config.more_views)}"
                )
            wanted = config.more_views[called] if called else config.views
            if isinstance(wanted, OwnViewsConfig):
                return own_views.build(wanted, f"inputs.{name}.{f'more_views.{called}' if called else 'views'}")
            return own.views(wanted, data, store)

        # A tokenizer that comes with the weights is no setting.
        config = replace(config, data=data) if type(data) is type(config.data) else config
        size = (len(picked) or sample.shape[1], *sample.shape[2:])
        card = spec(config.encoder)
        return cls(config, store, draws, network, views, card, data, size, sample.dtype, missing, spec, picked)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Made":
        """Itself: an averaged copy of a model reads the same store."""
        return self

    def nothing(self, device: torch.device) -> Tensor:
        """A batch without a sample, (0, ...)."""
        return torch.zeros((0, *self.size), dtype=self.dtype, device=device)

    def encoded(self, drawn: Drawn) -> Drawn:
        """Views of all channels, with those alone that are encoded."""
        if not self.channels:
            return drawn
        return replace(drawn, x=drawn.x[:, self.channels], source=drawn.source[:, self.channels])


@dataclass(frozen=True)
class Channels:
    """Those of a store that an input encodes.

    Args:
        channels: names.
        sampling_rate: Hz.
    """

    channels: tuple[str, ...]
    sampling_rate: float


def channels_of(name: str, config: InputConfig, elsewhere: Sequence[str], store: Any) -> tuple[int, ...]:
    """The places of the channels that an input encodes: those that it names, or those not `elsewhere`; none: all."""
    wanted = config.channels or elsewhere
    if not wanted:
        return ()
    there = list(store.channels)
    if missing := [one for one in config.channels if one not in there]:
        raise UsageError(f"inputs.{name}.channels: {not_a_choice(missing[0], there)}")
    picked = [there.index(one) for one in wanted] if config.channels else range(len(there))
    found = tuple(place for place in picked if config.channels or there[place] not in elsewhere)
    if not found:
        raise UsageError(f"inputs.{name}: inputs like it encode all of its channels {', '.join(there)}")
    return found


@dataclass(frozen=True)
class Stored:
    """The prepared records of an input.

    Args:
        store: of all that could be prepared.
        data: how samples are cut, completed by what the archive says.
        where: (R,) rows of the chosen records.
        trained: these.
    """

    store: Any
    data: Any
    where: Ints
    trained: Manifest


def rows_of(config: InputConfig, chosen: Manifest) -> Ints:
    """The rows of the records of an input."""
    counted = True if config.reports == "all" else taking_part(chosen, config.reports)
    return np.flatnonzero((chosen.kinds == config.modality) & counted)


def stored(name: str, config: InputConfig, manifest: Manifest, chosen: Manifest, folder: Path, **how: Any) -> Stored:
    """Prepare the records of one input.

    Args:
        name: in the recipe.
        config: its settings.
        manifest: of all modalities, all that is readable.
        chosen: what is trained on.
        folder: in which records are prepared once.
        **how: `jobs`, `strict` and `cluster`, see `prepare`.

    Raises:
        UsageError: the settings do not fit the archive, or `init` is of another modality.
        MedclError: there are no such records, or none can be prepared.
    """
    kind = config.modality
    own = wing(kind)
    where = rows_of(config, chosen)
    if not len(where):
        there = ", ".join(f"{len(rows_of(replace(config, modality=one), chosen))} {wing(one).plural}" for one in WINGS)
        raise MedclError(f"no {own.plural} to train on: the chosen splits of the manifest have {there}")
    begun = card_in(runs.load(Path(config.init)), kind, name) if is_run(config.init) else None
    every, trained = manifest.select(manifest.kinds == kind), chosen.select(where)
    training = Training(config.encoder, trained, begun, lambda: is_name(every, site_salt()))
    data = own.completed(config.data, every, training)
    return Stored(prepare(every, data, folder, **how), data, where, trained)


def stores_of(recipe: Recipe, manifest: Manifest, folder: Path, **how: Any) -> dict[str, Stored]:
    """Prepare all records of a recipe, as its training would; arguments and errors are those of `stored`."""
    manifest = manifest.ok()
    # An archive may be prepared before it is split.
    chosen = in_splits(manifest, recipe.splits) if manifest.has("split") else manifest
    return {
        name: stored(name, config, manifest, chosen, folder, **how)
        for name, config in recipe.inputs.items()
        if not config.like
    }


def make(name: str, config: InputConfig, found: Stored, elsewhere: Sequence[str] = ()) -> Made:
    """An input of prepared records, ready to train; some channels may be encoded elsewhere.

    Raises:
        MedclError: no record has a sample.
    """
    own, made, trained, data = wing(config.modality), found.store, found.trained, found.data
    draws = own.draws(made, trained, data)
    modality = "+".join(sorted({str(one) for one in trained.column("modality")[draws.rows]}))
    sample = draws.read([draws.draw(int(draws.rows[0]), np.random.default_rng(0))])

    missing = len(trained) - len(draws.rows)
    return Made.of(name, config, data, made, modality, sample, Linkable(draws, found.where), missing, elsewhere)


def made_inputs(recipe: Recipe, manifest: Manifest, folder: Path) -> dict[str, Made]:
    """The inputs of a recipe, whose records are prepared where they are not yet; errors are those of `stored`."""
    found = stores_of(recipe, manifest, folder)
    # An input that is like another one has its records, and an encoder of its own.
    return {
        name: make(name, config, found[config.like or name], channels_elsewhere(recipe, name))
        for name, config in recipe.inputs.items()
    }


def channels_elsewhere(recipe: Recipe, name: str) -> tuple[str, ...]:
    """Channels of the samples of an input that inputs like it encode."""
    return tuple(one for config in recipe.inputs.values() if config.like == name for one in config.channels)


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
    foreign = (Path(init) / runs.HUB_WEIGHTS).is_file() and not (Path(init) / runs.CONFIG).is_file()
    return bool(init) and not init.endswith(".safetensors") and not foreign


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
