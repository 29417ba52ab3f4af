"""What a sample of a table is: importable without torch, so that the command line stays quick."""

import math
from dataclasses import dataclass
from typing import Literal

from medcl.errors import UsageError


@dataclass(frozen=True)
class TableConfig:
    """How tables become samples (variables, steps) with NaN where there is no value.

    Args:
        columns: names of the variables wanted, in order, or patterns such as `ENSG*`. Tables of a patient that have
            none of them are of another input. None is every variable that the records have, but for those that are
            unusable in all of them, and those of text whose side-car names no levels: they may be names or dates, and
            are taken where they are named here.
        categories: variables whose numbers are codes of categories, beside those that side-cars or text tell.
        missing: variable -> numbers that stand for no value, such as `{Height: [-1]}`.
        window: hours of a sample, for tables with times; None is for tables without.
        start: hours at which the first window begins.
        stride: hours from one window to the next; None takes the one at `start` alone.
        step: hours that one step of a window covers; several numbers in a step are averaged, of categories the last
            counts.
        scaling: of numbers, fitted on the records that are trained on: `z-score` to mean 0 and standard deviation 1,
            `percentile` with the 1st percentile at -1, the 99th at 1 and what lies beyond -3 or 3 cut off, `rank` by
            the share of training values that are lower, from -1 to 1, as Symile has it (an mlp takes what is missing
            for the median), or `none`.
        units: variable -> unit, filled in from the records: records in another unit are refused.
        classes: category -> what its codes stand for, filled in from the records.
        scale: variable -> what is subtracted from it and what it is divided by, of `rank` its quantiles, filled in from
            the training records.
    """

    columns: list[str] | None = None
    categories: list[str] | None = None
    missing: dict[str, list[float]] | None = None
    window: float | None = None
    start: float = 0.0
    stride: float | None = None
    step: float = 1.0
    scaling: Literal["z-score", "percentile", "rank", "none"] = "z-score"
    units: dict[str, str] | None = None
    classes: dict[str, list[str]] | None = None
    scale: dict[str, list[float]] | None = None

    @property
    def n_steps(self) -> int:
        """Steps of a sample; 1 of a table without times."""
        return 1 if self.window is None else max(1, round(self.window / self.step))

    @property
    def n_classes(self) -> tuple[int, ...]:
        """Classes of each variable of a complete configuration, 0 for numbers."""
        return tuple(len((self.classes or {}).get(name, ())) for name in self.columns or ())

    def check(self) -> None:
        """Refuse what is invalid whatever the records are.

        Raises:
            UsageError: with the field and its value.
        """
        for name in ("window", "stride", "step"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"data.{name}: {value:g}, but it is a number of hours above 0")
        if self.window is not None and abs(self.window / self.step - round(self.window / self.step)) > 1e-6:
            raise UsageError(f"data.step: {self.step:g} hours do not divide the {self.window:g} of data.window")
        if self.window is None and self.stride is not None:
            raise UsageError("data.stride: it needs data.window, the hours of a sample")
        if self.scaling not in ("z-score", "percentile", "rank", "none"):
            raise UsageError(f"data.scaling: {self.scaling!r}, but it is z-score, percentile, rank or none")
        if self.columns is not None and (not self.columns or len(set(self.columns)) < len(self.columns)):
            raise UsageError("data.columns: it names each variable once, and at least one")


@dataclass(frozen=True)
class TableViewsConfig:
    """Which random views of a table are made, and how strong they are; 0 switches a view off.

    They are applied in the order: mixing, noise, dropout of variables, dropout of values.

    Args:
        mix: probability of taking a variable of a sample from another sample of the batch (SCARF's corruption).
        noise: largest standard deviation of noise added to numbers, in units of the scaled values.
        variable_dropout: probability of hiding a variable of a sample at all steps.
        value_dropout: probability of hiding a single value.
        mask: steps hidden from the encoder: `none`, `continuous` (random segments) or `binomial` (each on its own).
        mask_segments: segments of the continuous mask.
        mask_length: length of each segment as a share of the window.
        mask_probability: probability of hiding a step by the binomial mask.
    """

    mix: float = 0.0
    noise: float = 0.0
    variable_dropout: float = 0.0
    value_dropout: float = 0.0
    mask: Literal["none", "continuous", "binomial"] = "none"
    mask_segments: int = 5
    mask_length: float = 0.1
    mask_probability: float = 0.5


@dataclass(frozen=True)
class TableEncoderConfig:
    """What turns a sample (variables, steps) into embeddings, one a step.

    Args:
        name: `mlp` (values and missingness indicators of each step by itself) or `transformer` (a token for each value
            that is there, with its variable and its time).
        dim: width of the embedding.
        hidden: width inside the encoder.
        depth: hidden layers (mlp) or transformer layers.
        dropout: probability of dropping a feature.
        indicators: whether the mlp is told which values are missing; else they are 0, the mean, to it.
        pooling: how the embeddings of steps become one.
    """

    name: Literal["mlp", "transformer"] = "mlp"
    dim: int = 128
    hidden: int = 128
    depth: int = 2
    dropout: float = 0.1
    indicators: bool = True
    pooling: Literal["mean", "max"] = "mean"
