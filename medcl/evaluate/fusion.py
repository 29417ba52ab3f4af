"""Arms of several inputs: what an item has of them is embedded side by side, and read by one head or by one each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.embed import encoders
from medcl.embed.encoders import device, embed_records, samples_in
from medcl.embed.metadata import run_fingerprint
from medcl.errors import UsageError
from medcl.evaluate.arms import Arm, names_of
from medcl.evaluate.cells import Arrays
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.fused_samples import FusedSamples
from medcl.evaluate.items import Bags, Ints, Items
from medcl.evaluate.results import ArmInfo
from medcl.evaluate.tasks.base import Floats
from medcl.modality import wing_of
from medcl.modality.baselines import Supervised
from medcl.modality.rows import Rows as Records
from medcl.modality.sampling import SampleSet
from medcl.modality.spec import JointCard, to_json
from medcl.networks.fusion import HEADS, FusedEncoder, FusedWidth
from medcl.spelling import not_a_choice


@dataclass(frozen=True)
class Part:
    """One input of an arm.

    Args:
        name: of the encoder in the run.
        store: name of the folder of its prepared records.
        data: what a sample is.
        kind: of its records.
    """

    name: str
    store: str
    data: Any
    kind: str


@dataclass(frozen=True)
class FusedData:
    """What the inputs of an arm are, in the place of the configuration of one.

    Args:
        parts: the inputs.
        bag: level whose records are one item.
        fusion: `early` or `late`.
        dropout: see `FusedEncoder`.
    """

    parts: tuple[Part, ...]
    bag: str
    fusion: Any
    dropout: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""
        return tuple(part.name for part in self.parts)


@dataclass(frozen=True)
class FusedArm(Arm):
    """An arm of several inputs; `data` is `FusedData`, `spec` the cards by input, `store` the folder of the stores."""

    @property
    def note(self) -> str:
        """What is to be said of its samples."""
        told = dict.fromkeys(wing_of(part.data).note(part.data) for part in self.data.parts)
        return " ".join(filter(None, told))

    def of_inputs(self, manifest: Records) -> list[SampleSet]:
        """The samples of each input."""
        return [samples_in(self.store / part.store, manifest, part.data) for part in self.data.parts]  # type: ignore[arg-type]

    def samples(self, manifest: Records) -> Any:
        """See `Arm`: `FusedSamples`."""
        items = Items.bags(manifest, self.data.bag)  # type: ignore[arg-type]
        assert isinstance(items.grouping, Bags)
        return FusedSamples(self.of_inputs(manifest), self.data.names, items.grouping.bag, items.row)

    def usable(self, manifest: Records) -> Ints:
        """See `Arm`: those of any input."""
        return np.unique(np.concatenate([one.rows for one in self.of_inputs(manifest)]))

    def encoder(self, repeat: int, seed: int) -> FusedEncoder:
        """See `Arm`."""
        if self.info.kind == "run":
            run = runs.load(self.folders[0], self.data.names)
            sides = {name: run.encoder.side(name) for name in self.data.names}
        else:
            torch.manual_seed(seed)
            sides = {name: card.build() for name, card in self.spec.items()}
        return FusedEncoder(sides, self.data.dropout).eval()

    def head(self, width: Any, n_outputs: int) -> Any:
        """What is put on its encoder in fine-tuning."""
        return HEADS[self.data.fusion](width, n_outputs)

    @property
    def learner(self) -> Supervised | None:
        """See `Arm`: none."""
        return None

    def embed(self, manifest: Records, items: Items, rows: Ints, repeat: int, seed: int, *_: Any) -> Arrays:
        """See `Arm`: `z`, with the mean of the training items where an input is missing, and `widths` of the inputs.

        `fill` (dim,) is what an item without any input would have.
        """
        if self.info.kind == "baseline":
            z, widths = self._features(manifest, items, rows)
        else:
            network: Any = self.encoder(repeat, seed).to(device())
            z = embed_records(network, items.samples(self.samples(manifest)), rows, device()).astype(np.float64)
            widths = network.config.widths
        parts, there = FusedWidth(widths).split(torch.from_numpy(z))
        train, fill = items.split[rows] == "train", np.zeros(z.shape[1], dtype=z.dtype)
        begin = 0
        for k, part in enumerate(parts):
            has = there[:, k].numpy()
            own = slice(begin, begin := begin + widths[k])
            if (has & train).any():
                fill[own] = part.numpy()[has & train].mean(axis=0)
            z[~has, own] = fill[own]
        return {"z": z, "widths": np.array(widths), "fill": fill}

    def _features(self, manifest: Records, items: Items, rows: Ints) -> tuple[Floats, tuple[int, ...]]:
        """The first simple baseline of each input, side by side."""
        assert isinstance(items.grouping, Bags)
        bag, found, there = items.grouping.bag, [], []
        place = np.full(len(items.row), -1)
        place[rows] = np.arange(len(rows))
        for part, samples in zip(self.data.parts, self.of_inputs(manifest), strict=True):
            records = np.unique(samples.rows)
            records = records[place[bag[records]] >= 0]
            baseline = _first(part)
            state = baseline.fit(samples, records[items.split[bag[records]] == "train"])
            own = baseline.transform(samples, records, state)
            total, count = np.zeros((len(rows), own.shape[1])), np.zeros(len(rows))
            np.add.at(total, place[bag[records]], own)
            np.add.at(count, place[bag[records]], 1)
            found.append(total / np.maximum(count, 1)[:, None])
            there.append(count > 0)
        z: Floats = np.concatenate([*found, np.stack(there, axis=1)], axis=1)
        return z, tuple(one.shape[1] for one in found)


def _first(part: Part) -> Any:
    return next(one for one in wing_of(part.data).baselines(part.data).values() if not isinstance(one, Supervised))


def settings(config: EvaluateConfig) -> EvaluateConfig:
    """The configuration of an experiment on several inputs: items are patients, unless they are studies.

    Raises:
        UsageError: a setting that is of one input.
    """
    if not config.inputs:
        if config.hidden_inputs:
            raise UsageError("--hidden-inputs: needs --inputs, of which some are hidden")
        return config
    if len(set(config.inputs)) < 2:
        raise UsageError("--inputs: names two or more different inputs of the run; leave it out for one")
    for name in config.hidden_inputs:
        if name not in config.inputs:
            raise UsageError(f"--hidden-inputs {not_a_choice(name, config.inputs)}")
    if set(config.hidden_inputs) == set(config.inputs):
        raise UsageError("--hidden-inputs: at least one of --inputs stays for the test")
    if config.side or config.encoders or config.pooling != "mean" or config.task == "risk":
        raise UsageError("--inputs goes without --side, --encoders, --task risk and another --pooling than mean")
    if not 0 <= config.input_dropout < 1:
        raise UsageError(f"--input-dropout {config.input_dropout:g}: is not from 0 to below 1")
    # Finished models read one input; `medcl predict` has no several.
    return replace(config, bag="patient" if config.bag == "record" else config.bag, save_models="none")


def notes(config: EvaluateConfig, plural: str) -> list[str]:
    """What a reader has to know of an experiment on several inputs; nothing of others."""
    if not config.inputs:
        return []
    told = f"Each of the {plural} is predicted from what it has of the inputs {', '.join(config.inputs)}"
    without = f"; test {plural} were measured without {', '.join(config.hidden_inputs)}"
    return [f"{told}{without if config.hidden_inputs else ''}. Models of several inputs are not kept."]


def kinds_of(card: Any, config: EvaluateConfig, folder: Path) -> list[str]:
    """The kinds of records of the inputs.

    Raises:
        UsageError: the run has no such inputs.
    """
    if not isinstance(card, JointCard):
        raise UsageError(f"--inputs: {folder} was pretrained on one input; leave it out")
    for name in config.inputs:
        if name not in card.sides:
            raise UsageError(f"--inputs {not_a_choice(name, card.sides)}")
    return [wing_of(encoders.config_of(card.sides[name])).name for name in config.inputs]


def arms_of(folders: Sequence[Path], manifest: Manifest, config: EvaluateConfig, store: Path) -> list[Arm]:
    """The arms of runs, of the same networks from random weights, and of the first simple baselines side by side."""
    found: list[Arm] = []
    for name, folder in zip(names_of(folders), folders, strict=True):
        run = runs.load(folder)
        kinds = kinds_of(run.card, config, folder)
        cards = {one: run.card.sides[one] for one in config.inputs}
        parts = []
        for (one, card), kind in zip(cards.items(), kinds, strict=True):
            data = encoders.config_of(card)
            place = encoders.prepared(manifest.select(manifest.kinds == kind), data, store, config.jobs)
            parts.append(Part(one, str(place.relative_to(store)), data, kind))
        data = FusedData(tuple(parts), config.bag, config.fusion, config.input_dropout)
        info = ArmInfo(name, "run", run=str(folder), method=str(run.config.get("method", "")))
        found.append(FusedArm(info, store, data, cards, (folder,), None, run_fingerprint(folder)))
    random = []
    if config.scratch:
        several = len(found) > 1
        about = {str(arm.spec) + str(arm.data): arm for arm in reversed(found)}
        for arm in (one for one in found if one in about.values()):
            info = ArmInfo(f"random ({arm.name})" if several else "random", "random")
            random.append(replace(arm, info=info, folders=(), about=[to_json(one) for one in arm.spec.values()]))
    return [*found, *random, *_baselines(found[0], config)]


def _baselines(arm: Arm, config: EvaluateConfig) -> list[Arm]:
    firsts = [_first(part) for part in arm.data.parts]
    known = [wing_of(part.data).baselines(part.data) for part in arm.data.parts]
    names = [next(n for n, b in own.items() if b == one) for own, one in zip(known, firsts, strict=True)]
    name = " + ".join(dict.fromkeys(names))
    wanted = [one for one in config.baselines if one != "none"]
    for one in wanted:
        if one not in ("all", name):
            raise UsageError(f"--baselines {not_a_choice(one, [name, 'all', 'none'])}")
    title = ", ".join(dict.fromkeys(one.title for one in firsts)) + " of all inputs"
    info = ArmInfo(name, "baseline", title)
    return [replace(arm, info=info, folders=(), spec=None, about=name)] if wanted else []
