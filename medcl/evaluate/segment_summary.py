"""From the numbers of every network to means, intervals and paired differences."""

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from medcl.archive.stratify import Ints
from medcl.evaluate.config import Init
from medcl.evaluate.fractions import Subset
from medcl.evaluate.results import Difference, Fraction, Score, Summary
from medcl.evaluate.segment_results import Cell
from medcl.stats.intervals import mean_interval, paired_interval, patient_weights, percentile_interval

PROTOCOL = "finetune"
METRICS = ("dice", "hd95")
Floats = NDArray[np.float64]


def scores(cells: Sequence[Cell]) -> Iterator[Score]:
    """The means of every network: over test volumes of each structure, and over these."""
    for cell in cells:
        values = {metric: _values(cell, metric) for metric in METRICS}
        per_class = {name: {metric: _mean(values[metric][k]) for metric in METRICS} for k, name in enumerate(cell.dice)}
        means = {metric: _mean(values[metric]) for metric in METRICS}
        yield Score(PROTOCOL, cell.init, cell.label, cell.repeat, cell.seed, means, per_class)


def summarise(cells: Sequence[Cell], patients: Ints, n_boot: int, seed: int) -> tuple[list[Summary], list[Difference]]:
    """Means with intervals over repeats and over test patients, and the paired differences pretrained - random.

    Args:
        cells: of both initialisations.
        patients: (V,) of the test volumes.
        n_boot: resamples of the test patients.
        seed: of the resamples.

    Returns:
        One summary an initialisation, fraction and metric, one difference a fraction and metric.
    """
    summaries, differences = [], []
    for label in dict.fromkeys(cell.label for cell in cells):
        for metric in METRICS:
            repeats: dict[Init, list[float]] = {}
            boot: dict[Init, Floats] = {}
            for init in ("pretrained", "random"):
                mine = sorted((c for c in cells if (c.init, c.label) == (init, label)), key=lambda c: c.repeat)
                arrays = [_values(cell, metric) for cell in mine]
                repeats[init] = [_mean(one) for one in arrays]
                boot[init] = np.mean([_resampled(one, patients, n_boot, seed) for one in arrays], axis=0)
                over, other = mean_interval(repeats[init]), percentile_interval(boot[init])
                bounds = (over.mean, over.low, over.high, over.n, other.low, other.high)
                summaries.append(Summary(label, metric, *bounds, protocol=PROTOCOL, init=init))
            over = paired_interval(repeats["pretrained"], repeats["random"])
            other = percentile_interval(boot["pretrained"] - boot["random"])
            bounds = (over.mean, over.low, over.high, over.n, other.low, other.high)
            differences.append(Difference(label, metric, *bounds, protocol=PROTOCOL))
    return summaries, differences


def fractions(drawn: Sequence[Sequence[Subset]]) -> list[Fraction]:
    """What each label fraction holds, the median over repeats, in ascending order."""
    return [
        Fraction(
            column[0].label,
            median(s.n_patients for s in column),
            median(s.n_records for s in column),
            raised=any(s.raised for s in column),
        )
        for column in zip(*drawn, strict=True)
    ]


def missed(cells: Sequence[Cell]) -> list[str]:
    """A sentence an initialisation on structures that one of the maps lacks, to which there is no distance."""
    notes = []
    for init, name in (("pretrained", "pretrained weights"), ("random", "random weights")):
        values = np.concatenate([_values(cell, "hd95").ravel() for cell in cells if cell.init == init])
        absent = int(np.isnan(values).sum())
        if absent:
            notes.append(
                f"From {name}, {absent} of {len(values)} predicted structures are in one of prediction and truth only: "
                "their Dice is 0, and they are left out of the mean Hausdorff distance."
            )
    return notes


def _values(cell: Cell, metric: str) -> Floats:
    """(structures, volumes)."""
    return np.array(list(getattr(cell, metric).values()), dtype=np.float64)


def _mean(values: Floats) -> float:
    """The mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _resampled(values: Floats, patients: Ints, n_boot: int, seed: int) -> Floats:
    """Mean over structures and volumes in every resample of the patients, (n_boot,)."""
    defined = ~np.isnan(values)
    sums, counts = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
    parts = []
    for weights in patient_weights(patients, n_boot=n_boot, seed=seed):
        total, count = sums @ weights, counts @ weights
        parts.append(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
    return np.concatenate(parts) if parts else np.empty(0)
