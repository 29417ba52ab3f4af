"""Options of a reduction: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal

from medcl.errors import UsageError

Scope = Literal["record", "series", "study", "patient", "archive"]
SCOPES: tuple[Scope, ...] = ("record", "series", "study", "patient", "archive")
Rule = Literal["greedy", "k-centre", "balanced"]
RULES: tuple[Rule, ...] = ("greedy", "k-centre", "balanced")
AUTO = "auto"


@dataclass(frozen=True)
class ReduceConfig:
    """How redundancy is found and what is dropped.

    Args:
        by: name of the strategy, which says by what units are compared.
        threshold: limit up to which two units are duplicates, in the strategy's own measure; `auto` is the knee of the
            redundancy curve; None the strategy's default.
        keep: share of the units of each group that is kept, in the place of a threshold: above 0, up to 1.
        rule: selection of units: `greedy` in their order, for a threshold; `k-centre` (the default) or `balanced` for a
            share.
        unit: unit of volumes: their slices, or each as a whole. All other records are one unit each.
        axis: axis of RAS+ across which slices lie: 0, 1 or 2.
        scope: level within which units are compared; default: slices within their volume, whole records within their
            patient.
        split: split that is reduced, the others are kept as they are; `all` is all. Default: the training split where
            there is one, else all.
        run: finished run whose encoder the strategy `embedding` takes.
        encoder: another encoder for it: `random`, or a folder.
        wanted: file of what the strategy `wanted` looks for: a manifest of a few records, or terms, one a line.
        least: share of the units of each group that is kept at least where a score and a threshold decide, such as
            0.003; those of the highest score.
        clusters: number of clusters of the rule `balanced`; default: one for about every ten units that are kept.
        seed: random seed of the first centres of `balanced` and of a random encoder.

    Raises:
        UsageError: an invalid value, or two options that contradict each other.
    """

    by: str = "hash"
    threshold: float | Literal["auto"] | None = None
    keep: float | None = None
    rule: Rule | None = None
    unit: Literal["slice", "record"] = "slice"
    axis: int = 2
    scope: Scope | None = None
    split: str | None = None
    run: str = ""
    encoder: str = ""
    wanted: str = ""
    least: float = 0.0
    clusters: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.keep is not None:
            if not 0 < self.keep <= 1:
                raise UsageError(f"--keep {self.keep:.0%}: a share above 0 % and up to 100 %, such as 20%")
            if self.threshold is not None:
                raise UsageError("--keep and --threshold both decide how much is dropped: give one of them")
            if self.rule == "greedy":
                raise UsageError("--rule greedy goes by a threshold: --keep needs --rule k-centre or balanced")
        elif self.rule in ("k-centre", "balanced"):
            raise UsageError(f"--rule {self.rule} keeps a share: give it, such as --keep 20%")
        if isinstance(self.threshold, str) and self.threshold != AUTO:
            raise UsageError(f"--threshold {self.threshold}: a number, or {AUTO}")
        if self.rule is not None and self.rule not in RULES:
            raise UsageError(f"--rule {self.rule}: one of {', '.join(RULES)}")
        if self.scope is not None and self.scope not in SCOPES:
            raise UsageError(f"--scope {self.scope}: one of {', '.join(SCOPES)}")
        if self.axis not in (0, 1, 2):
            raise UsageError(f"axis {self.axis}: 0, 1 or 2, for x, y or z")
        if self.clusters is not None and self.clusters < 1:
            raise UsageError(f"--clusters {self.clusters}: at least 1")
        if self.run and self.encoder:
            raise UsageError("--run and --encoder both name an encoder: give one of them")
        if (self.run or self.encoder) and self.by not in ("embedding", "wanted"):
            raise UsageError(f"--run and --encoder are for --by embedding and --by wanted, not for {self.by}")
        if self.wanted and self.by != "wanted":
            raise UsageError(f"--wanted is for --by wanted, not for {self.by}")
        if not 0 <= self.least < 1:
            raise UsageError(f"--least {self.least}: a share from 0 to below 1")

    def __str__(self) -> str:
        """As it is called in tables: `hash`, `hash 8`, `embedding 20%`."""
        if self.keep is not None:
            return f"{self.by} {100 * self.keep:g}%"
        limit = self.threshold if self.threshold is None or isinstance(self.threshold, str) else f"{self.threshold:g}"
        return self.by if limit is None else f"{self.by} {limit}"


DEPTH = 3
"""Blocks of the networks that images are condensed by, each of which halves them."""


@dataclass(frozen=True)
class CondenseConfig:
    """How images are condensed.

    Args:
        per_class: synthetic images of each class.
        steps: number of steps, each with a network of new random weights.
        warmup: share of steps at first in which gradients are compared class by class (DC); 1 is DC alone.
        batch: real images of each class in a step.
        width: channels of the networks.
        learning_rate: size of a step of the synthetic images, in standard deviations of the real ones.
        begin: `real`: images of the archive, or `noise`, which takes many more steps.
        size: rows and columns of the images, pixels.
        colour: keep red, green and blue; else images are made grey.
        networks: networks that are trained on each set of images to measure its accuracy.
        seed: seed of everything that is drawn.
    """

    per_class: int = 1
    steps: int = 1000
    warmup: float = 0.25
    batch: int = 128
    width: int = 32
    learning_rate: float = 0.015
    begin: Literal["real", "noise"] = "real"
    size: tuple[int, int] = (32, 32)
    colour: bool = False
    networks: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("per_class", "steps", "batch", "width", "networks"):
            if getattr(self, name) < 1:
                raise UsageError(f"condense: {name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise UsageError(f"condense: warmup is a share of the steps from 0 to 1, not {self.warmup}")
        if not self.learning_rate > 0:
            raise UsageError(f"condense: learning_rate must be above 0, not {self.learning_rate}")
        if self.begin not in ("real", "noise"):
            raise UsageError(f"condense: begin is real or noise, not {self.begin!r}")
        if min(self.size) < 2**DEPTH:
            raise UsageError(f"condense: size must be at least {2**DEPTH} pixels, not {list(self.size)}")
