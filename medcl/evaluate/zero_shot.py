"""Classification without labels: each class is a direction made of prompts, the nearest one is chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl import documents
from medcl.archive.manifest import Manifest, Target
from medcl.documents import read_yaml
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.stats.metrics import Kind, Predictions
from medcl.stats.ranking import Floats


@dataclass(frozen=True)
class Prompts:
    """The prompts of one target.

    Args:
        target: its name.
        positive: class -> its prompts, filled into the templates.
        negative: class -> prompts of its absence; empty unless the YAML states them.
    """

    target: str
    positive: dict[str, tuple[str, ...]]
    negative: dict[str, tuple[str, ...]]


def read_prompts(path: Path) -> list[Prompts]:
    """Read a file of prompts.

    Raises:
        UsageError: no such file, not YAML, or not as described above; the message names the target and the class.
    """
    path = documents.find("prompts", path)
    content = read_yaml(path, "prompts")
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path}: prompts are written as `target: {{classes: {{class: [prompts]}}}}`")
    return [_of(str(target), body, path) for target, body in content.items()]


def check(prompts: Prompts, manifest: Manifest) -> Target:
    """The target that prompts are for.

    Raises:
        UsageError: the manifest has no such target, it has no classes, or its classes are others than those that have
            prompts.
    """
    target = manifest.targets.get(prompts.target)
    if target is None:
        held = ", ".join(manifest.targets) or "none"
        hint = did_you_mean(prompts.target, manifest.targets)
        raise UsageError(
            f"prompts for the target {prompts.target!r}: the manifest has no such target; it has {held}{hint}"
        )
    if target.kind == "regression":
        raise UsageError(f"prompts for the target {prompts.target!r}: it is a number and has no classes")
    unknown = [name for name in prompts.positive if name not in target.classes]
    if unknown:
        raise UsageError(
            f"prompts for the target {prompts.target!r}: {', '.join(map(repr, unknown))} not among its classes "
            f"{', '.join(target.classes)}"
        )
    missing = [name for name in target.classes if name not in prompts.positive]
    if missing:
        raise UsageError(
            f"prompts for the target {prompts.target!r}: none for {', '.join(map(repr, missing))}; without prompts a "
            "class can never be chosen"
        )
    if prompts.negative and target.kind != "multilabel":
        raise UsageError(
            f"prompts for the target {prompts.target!r}: only a multi-label target takes negative prompts, "
            f"this one is {target.kind}"
        )
    return target


def _of(target: str, body: Any, path: Path) -> Prompts:
    where = f"{path}: target {target!r}"
    if not isinstance(body, Mapping) or not isinstance(body.get("classes"), Mapping) or not body["classes"]:
        raise UsageError(f"{where}: its prompts are written as `classes: {{class: [prompts]}}`")
    foreign = [str(key) for key in body if key not in ("templates", "classes")]
    if foreign:
        raise UsageError(f"{where}: knows `templates` and `classes`, not {', '.join(foreign)}")
    templates = body.get("templates", ["{}"])
    if not isinstance(templates, list) or not templates or not all(str(one).count("{}") == 1 for one in templates):
        raise UsageError(
            f"{where}: templates are a list of sentences that each hold {{}} once, the place of the prompt"
        )
    positive, negative = {}, {}
    for name, given in body["classes"].items():
        pair = given if isinstance(given, Mapping) else {"positive": given}
        if not set(pair) <= {"positive", "negative"}:
            raise UsageError(f"{where}: class {name!r} has `positive` and `negative` prompts, and nothing else")
        positive[str(name)] = _filled(pair.get("positive"), templates, f"{where}: class {name!r}")
        if "negative" in pair:
            negative[str(name)] = _filled(pair["negative"], templates, f"{where}: class {name!r}, negative")
    return Prompts(target, positive, negative)


def _filled(prompts: Any, templates: list[Any], where: str) -> tuple[str, ...]:
    if not isinstance(prompts, list) or not prompts or not all(isinstance(one, str) and one.strip() for one in prompts):
        raise UsageError(f"{where} has no prompts: write at least one sentence, as a list")
    return tuple(dict.fromkeys(str(template).replace("{}", one) for template in templates for one in prompts))


Embed = Callable[[Sequence[str]], Tensor]
"""Texts -> (texts, D), of any length."""


@dataclass(frozen=True)
class PromptPredictions:
    """Predictions of which some metrics are shown, ready to be measured under any weights.

    Args:
        predictions: beside the labels.
        shown: names of the metrics.
    """

    predictions: Predictions
    shown: tuple[str, ...]

    @property
    def n_items(self) -> int:
        """Number of records."""
        return self.predictions.n_items

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """{metric: (resamples,)} under weights (records, resamples), and the AUROC by class."""
        macro, by_class = self.predictions.metrics(weights)
        return {name: macro[name] for name in self.shown}, {"auroc": by_class["auroc"]}


def directions(prompts: dict[str, tuple[str, ...]], classes: Sequence[str], embed: Embed) -> Tensor:
    """One direction a class: the mean of its prompts' embeddings, each scaled to length 1 first.

    Returns:
        (classes, D) of length 1.
    """
    texts = [text for name in classes for text in prompts[name]]
    of_class = torch.repeat_interleave(torch.tensor([len(prompts[name]) for name in classes]))
    z = F.normalize(embed(texts).float(), dim=1)
    total = z.new_zeros(len(classes), z.shape[1]).index_add_(0, of_class.to(z.device), z)
    return F.normalize(total, dim=1)


def classify(z: Tensor, prompts: Prompts, target: Target, embed: Embed, *, temperature: float = 0.1) -> Floats:
    """Probabilities of the classes of embeddings (records, D), by checked prompts.

    The temperature is that of the softmax over the classes, or over presence and absence.

    Returns:
        (records, classes). Multi-label classes: against the absence where there are negative prompts, else the cosine
        similarity taken from [-1, 1] to [0, 1], which orders the records and is no probability.
    """
    unit = F.normalize(z.float(), dim=1)
    scores = unit @ directions(prompts.positive, target.classes, embed).T
    if target.kind != "multilabel":
        result = torch.softmax(scores / temperature, dim=1)
    else:
        result = (scores + 1) / 2
        for column, name in enumerate(target.classes):
            if name in prompts.negative:
                absent = unit @ directions(prompts.negative, [name], embed).T
                result[:, column] = torch.sigmoid((scores[:, column] - absent[:, 0]) / temperature)
    values: Floats = result.double().cpu().numpy()
    return values


def measured(
    target: Target, labels: NDArray[np.generic], probabilities: Floats
) -> tuple[PromptPredictions, PromptPredictions]:
    """Zero-shot probabilities (records, classes) beside the labels, and those of chance: the shares of the classes.

    Labels are (records,) class numbers, or (records, classes) of 0 and 1, without unlabelled records. The metrics are
    `auroc` (macro, one versus rest) and, where a class is chosen, `accuracy` and `balanced_accuracy`. By chance they
    are 0.5, the share of the largest class, and one over the number of classes.

    Raises:
        MedclError: there is no record, or a probability is not finite.
    """
    if not len(labels):
        raise MedclError(f"zero-shot: no test record has a label for {target.name!r}")
    kind: Kind = target.kind
    shown = ("auroc",) if kind == "multilabel" else ("auroc", "accuracy", "balanced_accuracy")
    own = Predictions.of(kind, labels, probabilities)
    shares = np.broadcast_to(own.truth.mean(0), own.truth.shape)
    return PromptPredictions(own, shown), PromptPredictions(Predictions.of(kind, labels, shares), shown)
