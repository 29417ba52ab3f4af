"""Results with made-up numbers, shaped like those of a real evaluation: the pages only show numbers."""

import numpy as np

from medcl.archive.manifest import Target
from medcl.evaluate.results import (
    CalibrationCurve,
    Confusion,
    Difference,
    Fraction,
    Init,
    MetricSummary,
    Procedure,
    Results,
    Score,
    Split,
)
from medcl.stats.intervals import mean_interval, paired_interval
from medcl.stats.metrics import BY_CLASS, OF_VALUES, OVERALL

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
INITS: tuple[Init, Init] = ("pretrained", "random")
FRACTIONS = (
    Fraction("1%", 6, 8, raised=True),
    Fraction("2%", 7, 9),
    Fraction("10%", 36, 41),
    Fraction("100%", 361, 402),
)


def make_results(
    *,
    kind: str = "multilabel",
    classes: tuple[str, ...] = CLASSES,
    protocols: tuple[str, ...] = ("probe", "finetune"),
    fractions: tuple[Fraction, ...] = FRACTIONS,
    repeats: int = 20,
    gain: float = 0.06,
    method: str = "comet",
    seed: int = 0,
    fingerprint: str = "test-records",
) -> Results:
    """An evaluation whose pretrained scores lie `gain` above the random ones at few labels and meet them at many."""
    rng = np.random.default_rng(seed)
    metrics = tuple(OF_VALUES) if kind == "regression" else (*BY_CLASS, *OVERALL)
    counts = {name: round(rng.uniform(0.1, 0.5), 2) for name in classes}
    held = tuple(
        Fraction(f.label, f.patients, f.records, {n: max(1, round(s * f.records)) for n, s in counts.items()}, f.raised)
        for f in fractions
    )
    scores = tuple(
        _score(rng, protocol, init, fraction, repeat, metrics, classes, gain)
        for protocol in protocols
        for init in INITS
        for fraction in fractions
        for repeat in range(repeats)
    )
    largest = fractions[-1].label
    confusion = () if kind == "regression" else _confusions(rng, kind, classes, protocols, largest)
    return Results(
        run=f"runs/{method}",
        method=method,
        target=Target("age" if kind == "regression" else "superclass", kind, classes),
        protocols=protocols,
        metric=metrics[0],
        config={
            "encoder": {"depth": 10, "dim": 128},
            "optimiser": {"lr": 1e-3},
            "signal": {"band": [0.5, None], "window": 2.5},
        },
        splits={
            name: Split(
                patients,
                records,
                {n: round(s * records) for n, s in counts.items()},
                fingerprint if name == "test" else "",
            )
            for name, patients, records in (("train", 361, 402), ("val", 45, 49), ("test", 46, 51))
        },
        notes=("2 records were left out: they could not be decoded, or hold no usable window.",),
        fractions=held,
        procedure=Procedure(seed=0, repeats=repeats, bootstrap=1000),
        scores=scores,
        summary=_summaries(scores, protocols, fractions, metrics),
        differences=_differences(scores, protocols, fractions, metrics),
        calibration=_curves(rng, kind, classes, protocols, fractions),
        confusion=confusion,
        software={"medcl": "0.1.0", "torch": "2.13.0"},
        created="2025-11-22T10:00:00+00:00",
    )


def _score(rng, protocol, init, fraction, repeat, metrics, classes, gain) -> Score:
    few = 1 - np.log(fraction.patients) / np.log(400)
    level = 0.86 - 0.25 * few + (gain * few**0.5 if init == "pretrained" else 0) - 0.01 * (protocol == "finetune")
    values = np.clip(level + rng.normal(0, 0.01 + 0.05 * few, len(metrics)), 0, 1)
    shifted = np.clip(level + rng.normal(0, 0.04, (len(classes), 2)), 0, 1)
    per_class = {
        name: {"auroc": float(a), "auprc": float(b - 0.2)} for name, (a, b) in zip(classes, shifted, strict=True)
    }
    named = {m: float(v) if m != "mae" else float(20 - 10 * v) for m, v in zip(metrics, values, strict=True)}
    return Score(protocol, init, fraction.label, repeat, repeat, named, per_class)


def _values(scores, protocol, init, label, metric) -> list[float]:
    return [s.metrics[metric] for s in scores if (s.protocol, s.init, s.label) == (protocol, init, label)]


def _summaries(scores, protocols, fractions, metrics) -> tuple[MetricSummary, ...]:
    rows = []
    for protocol in protocols:
        for init in INITS:
            for fraction in fractions:
                for metric in metrics:
                    over = mean_interval(_values(scores, protocol, init, fraction.label, metric))
                    ends = (over.mean - 0.06, over.mean + 0.05)
                    rows.append(
                        MetricSummary(
                            fraction.label,
                            metric,
                            over.mean,
                            over.low,
                            over.high,
                            over.n,
                            *ends,
                            protocol=protocol,
                            init=init,
                        )
                    )
    return tuple(rows)


def _differences(scores, protocols, fractions, metrics) -> tuple[Difference, ...]:
    rows = []
    for protocol in protocols:
        for fraction in fractions:
            for metric in metrics:
                pair = [_values(scores, protocol, init, fraction.label, metric) for init in INITS]
                over = paired_interval(*pair)
                ends = (over.mean - 0.03, over.mean + 0.03)
                rows.append(
                    Difference(fraction.label, metric, over.mean, over.low, over.high, over.n, *ends, protocol=protocol)
                )
    return tuple(rows)


def _curves(rng, kind, classes, protocols, fractions) -> tuple[CalibrationCurve, ...]:
    curves = []
    for protocol in protocols:
        for fraction in fractions:
            for init in INITS:
                for name in classes or ("",):
                    predicted = np.sort(rng.beta(0.7, 1.5, 10)) if kind != "regression" else np.linspace(30, 80, 10)
                    spread = 0.08 if kind != "regression" else 5
                    observed = np.clip(predicted + rng.normal(0, spread, 10), 0, None if kind == "regression" else 1)
                    count = rng.integers(80, 110, 10)
                    curves.append(
                        CalibrationCurve(
                            protocol, init, fraction.label, name, *map(_floats, (predicted, observed, count))
                        )
                    )
    return tuple(curves)


def _confusions(rng, kind, classes, protocols, label) -> tuple[Confusion, ...]:
    tables = []
    for protocol in protocols:
        for init in INITS:
            if kind == "multilabel":
                for name in classes:
                    matrix = tuple(map(_floats, rng.integers(0, 600, (2, 2)) + 300 * np.eye(2, dtype=int)))
                    tables.append(Confusion(protocol, init, label, (f"no {name}", name), matrix, name))
            else:
                matrix = tuple(
                    map(_floats, rng.integers(0, 60, (len(classes),) * 2) + 200 * np.eye(len(classes), dtype=int))
                )
                tables.append(Confusion(protocol, init, label, classes, matrix))
    return tuple(tables)


def _floats(values) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
