"""Labels in the experiment engine: probes and neighbours on frozen embeddings, and fine-tuned encoders."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medcl import weights
from medcl.archive.manifest import Manifest
from medcl.embed.encoders import device
from medcl.evaluate.arms import Arm
from medcl.evaluate.attention_probe import PROBE, attention_probe
from medcl.evaluate.cells import Arrays, Cell, fingerprint, read
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.experiment import Fold, Planned
from medcl.evaluate.fractions import Ordering, Subset
from medcl.evaluate.fused_probe import frozen_inputs
from medcl.evaluate.items import Bags, Items
from medcl.evaluate.label_fraction import parse
from medcl.evaluate.protocols import (
    Finetuned,
    Network,
    attention,
    fine_tune,
    instance_scores,
    linear_probe,
    nearest_neighbours,
    predict,
    predict_linear,
)
from medcl.evaluate.tasks.base import Floats, Rows, Task
from medcl.modality.baselines import Supervised
from medcl.modality.sampling import SampleSet
from medcl.networks.pooling import LEARNED, OF_PREDICTIONS, PoolingName


@dataclass(frozen=True)
class LabelPlan:
    """Models of labels: probes and neighbours on frozen embeddings, and fine-tuned encoders.

    Args:
        manifest: of readable records.
        items: what the labels belong to.
        task: the labels.
        config: of the experiment.
        folder: of the cells.
        minutes: (items,) length of each recording; None where there is none.
    """

    manifest: Manifest
    items: Items
    task: Task
    config: EvaluateConfig
    folder: Path
    minutes: NDArray[np.float64] | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those asked for, of those that the task has; neighbours have no weights by which samples are pooled."""
        votes = self.config.pooling not in LEARNED and self.config.fusion != "late" and not self.config.hidden_inputs
        had = [name for name in self.task.protocols if name != "knn" or votes]
        return tuple(name for name in self.config.protocols or had if name in had)

    def ordering(self, fold: Fold, seed: int) -> Ordering:
        """See `Plan`."""
        return self.task.ordering(
            self.items.patient, fold.train, unit=self.config.unit, seed=seed, minutes=self.minutes
        )

    def features(self, fold: Fold, drawn: Sequence[Sequence[Subset]]) -> list[Cell]:
        """See `Plan`."""
        frozen = set(self.protocols) - {"finetune"}
        return [
            self.embedding(fold, arm, repeat)
            for arm in fold.arms
            if frozen & set(arm.protocols)
            for repeat in (range(len(drawn)) if arm.seeded else (0,))
        ]

    def seed_of(self, arm: Arm, repeat: int) -> tuple[int, int]:
        """The repeat whose embeddings are used, and its seed: an arm without a seed has one for all."""
        repeat = repeat if arm.seeded else 0
        return repeat, self.config.seed + repeat

    def embedding(self, fold: Fold, arm: Arm, repeat: int) -> Cell:
        """The cell of the embeddings of all items of a fold."""
        rows, (repeat, seed) = self._rows(fold), self.seed_of(arm, repeat)
        # A baseline learns of the training items of this fold, wherever the manifest has them.
        split = np.full(len(self.items.row), None, dtype=object)
        split[fold.train] = "train"
        items = replace(self.items, split=split)
        about = {
            "arm": arm.about,
            "data": asdict(arm.data),
            "store": arm.store.name,
            "items": [self.items.plural, fingerprint(self.items.ids[rows]), self.items.about],
            "pooling": self._pooling,
            # Random weights are those of a seed.
            "seed": seed if arm.seeded or arm.info.kind == "foreign" else None,
            "run": repeat if len(arm.folders) > 1 else None,
            "train": fingerprint(split[rows]) if arm.info.kind == "baseline" or self.config.inputs else None,
        }
        return Cell(_embed, (arm, self.manifest, items, rows, repeat, seed, *self._pooling), about)

    @property
    def _pooling(self) -> tuple[PoolingName, int]:
        return self.config.pooling, self.config.top_k

    def _rows(self, fold: Fold) -> Rows:
        return np.unique(np.concatenate([fold.train, fold.validation, fold.test]))

    def models(self, fold: Fold, drawn: Sequence[Sequence[Subset]]) -> Iterator[Planned]:
        """See `Plan`."""
        for arm in fold.arms:
            for repeat, subsets in enumerate(drawn):
                for subset in subsets:
                    for protocol in self.protocols:
                        if protocol in arm.protocols and not self._passed_over(protocol, subset, repeat):
                            # Weights are large: they are kept of the models that may be asked for.
                            keep = subset is subsets[-1] and self.config.save_models != "none"
                            keep = keep and arm.info.kind != "random"
                            cell = self._model(fold, arm, protocol, subset, repeat, keep)
                            yield Planned(protocol, arm, subset, repeat, self.config.seed + repeat, fold.number, cell)

    def _passed_over(self, protocol: str, subset: Subset, repeat: int) -> bool:
        whole = parse(subset.label).share == 1.0
        return protocol == "finetune" and whole and 0 < self.config.repeats_full <= repeat

    def _model(self, fold: Fold, arm: Arm, protocol: str, subset: Subset, repeat: int, keep: bool) -> Cell:
        features = self.embedding(fold, arm, repeat)
        seed, rows = self.config.seed + repeat, self._rows(fold)
        parts = (subset.rows, fold.validation, fold.test)
        about: dict[str, Any] = {
            "task": [type(self.task).__name__, asdict(self.task.target), self.task.about],
            "labels": [fingerprint(self.items.ids[part], self.task.columns(part)) for part in parts],
        }
        if protocol != "finetune":
            about |= {"features": features.key, "protocol": protocol}
            if self.config.inputs and protocol == "probe":
                hidden = tuple(self.config.inputs.index(name) for name in self.config.hidden_inputs)
                about |= {"hidden": hidden, "late": (late := self.config.fusion == "late")}
                return Cell(_of_inputs, (self.folder, features.key, self.task, rows, *parts, hidden, late), about)
            if self.config.pooling not in LEARNED:
                return Cell(_frozen, (self.folder, features.key, self.task, rows, *parts, protocol, arm.learner), about)
            probe = replace(PROBE, contrast=self.config.finetune.contrast)
            pooling = {"pooling": self.config.pooling, "seed": seed, "finetune": asdict(probe)}
            learned = (self.folder, features.key, self.task, rows, *parts, self.config.pooling, seed, probe)
            return Cell(_attending, learned, about | pooling)
        tuning = self.config.finetune
        of_each = self.config.pooling in ("mean", *OF_PREDICTIONS)
        if not tuning.windows and (not of_each or isinstance(self.items.grouping, Bags)):
            tuning = replace(tuning, windows=_OF_A_BAG)
        tuned = {**features.about, "seed": seed, "finetune": asdict(tuning), "keep": keep}
        arguments = (arm, self.manifest, self.items, self.task, *parts, tuning, repeat, seed, keep, *self._pooling)
        if without := tuple(self.config.hidden_inputs):
            return Cell(_tuned, (*arguments, without), {**about, **tuned, "hidden": without})
        return Cell(_tuned, arguments, {**about, **tuned})


_OF_A_BAG = 16
"""Samples of an item with many that are drawn in a step of fine-tuning."""


def _embed(arm: Arm, *arguments: Any) -> Arrays:
    return arm.embed(*arguments)


@lru_cache(maxsize=2)
def _features(folder: Path, key: str) -> Arrays:
    return read(folder, key)


def _frozen(
    folder: Path,
    key: str,
    task: Task,
    rows: Rows,
    train: Rows,
    validation: Rows,
    test: Rows,
    protocol: str,
    learner: Supervised | None,
) -> Arrays:
    """Fit on frozen embeddings: predictions of the validation and the test items, and the numbers of a linear model.

    Of a baseline that learns its features of the labels they are learned of the training items, as `learned.NAME`.
    """
    learned: Arrays = {}
    found = _features(folder, key)["z"]
    if learner is not None:
        learned = learner.learn(found[np.searchsorted(rows, train)], task.classes_of(train).argmax(axis=1))
        found = learner.apply(found, learned)
    z: Floats = np.full((int(rows.max()) + 1, found.shape[1]), np.nan)
    z[rows] = found
    if protocol == "knn":
        vote = nearest_neighbours(task, z, train, validation)
        return {"validation": vote(z[validation]), "test": vote(z[test])}
    model = linear_probe(task, z, train, validation)
    return {
        "validation": predict_linear(task, model, z[validation]),
        "test": predict_linear(task, model, z[test]),
        **{f"linear.{name}": value for name, value in vars(model).items()},
        **{f"learned.{name}": value for name, value in learned.items()},
    }


def _of_inputs(
    folder: Path,
    key: str,
    task: Task,
    rows: Rows,
    train: Rows,
    validation: Rows,
    test: Rows,
    hidden: tuple[int, ...],
    late: bool,
) -> Arrays:
    """As `_frozen`, of several inputs."""
    found = _features(folder, key)
    z: Floats = np.full((int(rows.max()) + 1, found["z"].shape[1]), np.nan)
    z[rows] = found["z"]
    return frozen_inputs(found, task, z, train, validation, test, hidden, late=late)


def _attending(
    folder: Path,
    key: str,
    task: Task,
    rows: Rows,
    train: Rows,
    validation: Rows,
    test: Rows,
    pooling: PoolingName,
    seed: int,
    config: FinetuneConfig,
) -> Arrays:
    """Learn attention on the frozen embeddings of samples: as `_tuned`, and how the embeddings are standardised."""
    found = _features(folder, key)
    ways: dict[str, Any] = {"pooling": pooling, "seed": seed, "device": device(), "config": config}
    tuned, samples, scaling = attention_probe(task, found["z"], rows[found["group"]], train, validation, **ways)
    kept = {**scaling, **_weights(tuned.network, ("head", "pooling"))}
    return {**_predicted(tuned, task, samples, validation, test), **kept}


def _predicted(tuned: Finetuned, task: Task, samples: SampleSet, validation: Rows, test: Rows) -> Arrays:
    """Of the validation and the test items; and how much each sample of the latter counts, where that is learned."""
    parts = {"validation": validation, "test": test}
    found = {name: predict(tuned.network, task, samples, rows, device()) for name, rows in parts.items()}
    if tuned.network.pooling.attention is not None:
        found["attention"] = attention(tuned.network, samples, test, device())
    if tuned.instances is not None:
        found["instances"] = instance_scores(tuned, samples, test, device())
    if "attention" in found or "instances" in found:
        found["attended"] = np.array([len(samples.samples_of(item)) for item in test.tolist()])
    return {**found, "steps": np.array(tuned.steps)}


def _weights(network: Network, parts: Sequence[str]) -> Arrays:
    named = {part: weights.of(getattr(network, part)) for part in parts}
    return {f"{part}.{name}": tensor.numpy() for part, own in named.items() for name, tensor in own.items()}


def _tuned(
    arm: Arm,
    manifest: Manifest,
    items: Items,
    task: Task,
    train: Rows,
    validation: Rows,
    test: Rows,
    config: FinetuneConfig,
    repeat: int,
    seed: int,
    keep: bool,
    pooling: PoolingName,
    top_k: int,
    hidden: tuple[str, ...] = (),
) -> Arrays:
    """Fine-tune: what is predicted of the validation and the test items, and if asked for the weights."""
    every: Any = arm.samples(manifest)
    samples = items.samples(every)
    ways: dict[str, Any] = {"seed": seed, "device": device(), "pooling": pooling, "top_k": top_k}
    encoder = arm.encoder(repeat, seed)
    torch.manual_seed(seed)
    head = arm.head(encoder.config, task.n_outputs)
    tuned = fine_tune(encoder, task, samples, train, validation, config, head=head, **ways)
    found = _predicted(tuned, task, samples, validation, test)
    if hidden:
        found["test"] = predict(tuned.network, task, items.samples(every.hiding(hidden)), test, device())
    return {**found, **(_weights(tuned.network, ("encoder", "head", "pooling")) if keep else {})}
