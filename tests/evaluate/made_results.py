"""Results with made-up numbers, shaped like those of a real evaluation: the pages only show numbers."""

from itertools import combinations

import numpy as np

from medcl.evaluate.results import ArmInfo, Difference, Fraction, MetricSummary, Results, ResultTarget, Score, Split
from medcl.evaluate.results_tables import CalibrationCurve, Confusion, LearningCurve, Procedure, Speed
from medcl.stats.intervals import UNBOUNDED, crossed_difference, crossed_interval, holm, mean_interval, paired_interval
from medcl.stats.metrics import BOUNDS, BY_CLASS, OF_GRADES, OF_VALUES, OVERALL

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
FRACTIONS = (
    Fraction("1%", 6, 8, raised=True),
    Fraction("2%", 7, 9),
    Fraction("10%", 36, 41),
    Fraction("100%", 361, 402),
)
PATIENTS, RESAMPLES = 46, 60
SURVIVAL, SEGMENTATION = ("harrell_c", "uno_c", "ibs"), ("dice", "hd95")
WITHOUT_CLASSES = {"regression": tuple(OF_VALUES), "ordinal": tuple(OF_GRADES), "survival": SURVIVAL}


def make_results(
    *,
    kind: str = "multilabel",
    classes: tuple[str, ...] = CLASSES,
    protocols: tuple[str, ...] = ("probe", "finetune"),
    fractions: tuple[Fraction, ...] = FRACTIONS,
    repeats: int = 20,
    gain: float = 0.06,
    method: str = "comet",
    runs: tuple[str, ...] = ("pretrained",),
    baselines: tuple[str, ...] = (),
    facts: bool = False,
    folds: int = 1,
    seed: int = 0,
    fingerprint: str = "test-records",
) -> Results:
    """An evaluation whose pretrained scores lie `gain` above the random ones at few labels and meet them at many.

    Args:
        kind: of the target.
        classes: of the target.
        protocols: that encoders are measured by; baselines are by the probe.
        fractions: with their sizes.
        repeats: of each fraction.
        gain: of the first run; that of each other one is half of the one before it.
        method: of the pretraining.
        runs: names of the pretrained arms.
        baselines: names of the simple baselines.
        facts: whether a run says its steps and seconds.
        folds: of pooled results, whose intervals are over folds.
        seed: of the numbers.
        fingerprint: of the test records.
    """
    rng = np.random.default_rng(seed)
    if kind == "segmentation":
        metrics, by_class = SEGMENTATION, SEGMENTATION
    else:
        metrics = WITHOUT_CLASSES.get(kind, (*BY_CLASS, *OVERALL))
        by_class = () if kind in WITHOUT_CLASSES else tuple(BY_CLASS)
    arms = (
        *(
            ArmInfo(
                name,
                "run",
                run=f"runs/{method}",
                method=method,
                facts={"steps": 400.0, "seconds": 61.5} if facts else {},
            )
            for name in runs
        ),
        ArmInfo("random", "random"),
        *(ArmInfo(name, "baseline", f"{name} of the leads") for name in baselines),
    )
    gains = {arm.name: gain / 2**i for i, arm in enumerate(arms)} | {"random": 0.0} | dict.fromkeys(baselines, -0.05)
    counts = {name: round(rng.uniform(0.1, 0.5), 2) for name in classes}
    held = tuple(
        Fraction(f.label, f.patients, f.records, {n: max(1, round(s * f.records)) for n, s in counts.items()}, f.raised)
        for f in fractions
    )
    cells = [
        (protocol, arm.name, fraction)
        for protocol in dict.fromkeys([*protocols, *(["probe"] if baselines else [])])
        for arm in arms
        for fraction in fractions
        if (protocol == "probe" if arm.kind == "baseline" else protocol in protocols)
    ]
    scores = tuple(
        _score(rng, protocol, arm, fraction, repeat, metrics, classes if by_class else (), by_class, gains[arm])
        for protocol, arm, fraction in cells
        for repeat in range(repeats)
    )
    table = _table(rng, scores, 0 if folds > 1 else RESAMPLES)
    largest = fractions[-1].label
    named = bool(classes) and kind not in WITHOUT_CLASSES and kind != "segmentation"
    keys = [(protocol, arm) for protocol in protocols for arm in (arm.name for arm in arms if arm.kind != "baseline")]
    return Results(
        target=ResultTarget(
            {"regression": "age", "survival": "death"}.get(kind, "superclass"),
            kind,
            classes,
            {"regression": "years", "survival": "months"}.get(kind, ""),
        ),
        arms=arms,
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
            for name, patients, records in (("train", 361, 402), ("val", 45, 49), ("test", PATIENTS, 51))
        },
        notes=("2 records were left out: they could not be decoded, or hold no usable window.",),
        fractions=held,
        procedure=Procedure(seed=0, repeats=repeats, bootstrap=0 if folds > 1 else 1000, folds=folds),
        scores=scores,
        summary=_summaries(table),
        differences=_differences(table, arms, protocols),
        calibration=_curves(rng, kind, classes, keys, fractions) if named or kind == "regression" else (),
        confusion=_confusions(rng, kind, classes, keys, largest) if named else (),
        learning=_learning(rng, arms, fractions, repeats) if kind == "segmentation" else (),
        speed=_speed(arms, fractions) if kind == "segmentation" else (),
        items="volumes" if kind == "segmentation" else "records",
        software={"medcl": "0.1.0", "torch": "2.13.0"},
        created="2025-11-22T10:00:00+00:00",
    )


def _score(rng, protocol, arm, fraction, repeat, metrics, classes, by_class, gain) -> Score:
    few = 1 - np.log(fraction.patients) / np.log(400)
    level = 0.86 - 0.25 * few + gain * max(few, 0) ** 0.5 - 0.01 * (protocol == "finetune")
    values = np.clip(level + rng.normal(0, 0.01 + 0.05 * few, len(metrics)), 0, 1)
    shifted = np.clip(level + rng.normal(0, 0.04, (len(classes), len(by_class))), 0, 1)
    per_class = {
        name: {metric: _scaled(metric, v) for metric, v in zip(by_class, row, strict=True)}
        for name, row in zip(classes, shifted, strict=True)
    }
    named = {metric: _scaled(metric, v) for metric, v in zip(metrics, values, strict=True)}
    return Score(protocol, arm, fraction.label, repeat, repeat, named, per_class)


def _scaled(metric: str, value: float) -> float:
    """A value as large as one of the metric."""
    size = {"mae": (20, -10), "rmse": (26, -12), "hd95": (14, -12), "brier": (0.6, -0.5), "ece": (0.3, -0.3)}
    start, slope = size.get(metric, (0, 1))
    return float(start + slope * value)


def _table(rng, scores, resamples):
    """{(protocol, arm, label, metric, class): (values of the repeats, means in resamples)}."""
    table = {}
    for one in scores:
        rows = {(m, ""): v for m, v in one.metrics.items()}
        rows |= {(m, name): v for name, row in one.per_class.items() for m, v in row.items()}
        for (metric, name), value in rows.items():
            table.setdefault((one.protocol, one.arm, one.label, metric, name), []).append(value)
    shared = rng.normal(0, 0.02, resamples)
    size = {"mae": 10, "rmse": 12, "hd95": 12}
    return {
        key: (values, np.mean(values) + size.get(key[3], 1) * (shared + rng.normal(0, 0.01, resamples)))
        for key, values in table.items()
    }


def _ends(main, alone):
    """Low, high, number of repeats and both ends over repeats; the only interval is the main one as well."""
    first = main if main.n and not np.isnan(main.low) else alone
    return first.low, first.high, alone.n, alone.low, alone.high


def _summaries(table) -> tuple[MetricSummary, ...]:
    rows = []
    for (protocol, arm, label, metric, name), (values, boot) in table.items():
        bounds = BOUNDS.get(metric, UNBOUNDED)
        alone, main = mean_interval(values, bounds=bounds), crossed_interval(values, boot, bounds, PATIENTS)
        about = {"protocol": protocol, "arm": arm, "class_name": name}
        rows.append(MetricSummary(label, metric, alone.mean, *_ends(main, alone), **about))
    return tuple(rows)


def _differences(table, arms, protocols) -> tuple[Difference, ...]:
    families = {}
    own = {arm.name: "probe" if arm.kind == "baseline" else "" for arm in arms}
    cells = dict.fromkeys((label, metric) for _, _, label, metric, name in table if not name)
    for protocol in protocols:
        for label, metric in cells:
            for one, other in combinations(own, 2):
                if own[one] and own[other] and protocol != "probe":
                    continue
                pair = [table[own[arm] or protocol, arm, label, metric, ""] for arm in (one, other)]
                (values, boot), (others, other_boot) = pair
                alone = paired_interval(values, others, bounds=BOUNDS.get(metric, UNBOUNDED))
                main = crossed_difference(values, others, boot, other_boot, BOUNDS.get(metric, UNBOUNDED), PATIENTS)
                row = (label, metric, alone.mean, *_ends(main, alone)), (protocol, one, other), main.p
                families.setdefault((protocol, label, metric), []).append(row)
    return tuple(
        Difference(*values, protocol=names[0], arm=names[1], other=names[2], p=p, p_holm=float(adjusted))
        for family in families.values()
        for (values, names, p), adjusted in zip(family, holm(np.array([p for *_, p in family])), strict=True)
    )


def _curves(rng, kind, classes, keys, fractions) -> tuple[CalibrationCurve, ...]:
    curves = []
    for protocol, arm in keys:
        for fraction in fractions:
            for name in classes or ("",):
                predicted = np.sort(rng.beta(0.7, 1.5, 10)) if kind != "regression" else np.linspace(30, 80, 10)
                spread, top = (0.08, 1.0) if kind != "regression" else (5, 1e9)
                observed = np.clip(predicted + rng.normal(0, spread, 10), 0, top)
                low, high = (np.clip(observed + side * spread, 0, top) for side in (-1, 1))
                numbers = predicted, observed, rng.integers(80, 110, 10), low, high
                curves.append(CalibrationCurve(protocol, arm, fraction.label, name, *map(_floats, numbers)))
    return tuple(curves)


def _confusions(rng, kind, classes, keys, label) -> tuple[Confusion, ...]:
    tables = []
    for protocol, arm in keys:
        for name in classes if kind == "multilabel" else ("",):
            shown = (f"no {name}", name) if name else classes
            matrix = rng.integers(0, 600, (len(shown),) * 2) + 300 * np.eye(len(shown), dtype=int)
            shares = matrix / matrix.sum(1, keepdims=True)
            ends = [
                tuple(map(_floats, np.clip(shares + side, 0, 1) * matrix.sum(1, keepdims=True)))
                for side in (-0.05, 0.05)
            ]
            tables.append(Confusion(protocol, arm, label, shown, tuple(map(_floats, matrix)), name, *ends))
    return tuple(tables)


def _learning(rng, arms, fractions, repeats) -> tuple[LearningCurve, ...]:
    at = np.arange(20, 401, 20)
    return tuple(
        LearningCurve(
            arm.name,
            fraction.label,
            repeat,
            tuple(map(int, at)),
            _floats(0.85 * (1 - np.exp(-at / (60 if arm.kind == "run" else 120))) + rng.normal(0, 0.02, len(at))),
            300,
        )
        for arm in arms
        if arm.kind != "baseline"
        for fraction in fractions
        for repeat in range(min(repeats, 5))
    )


def _speed(arms, fractions) -> tuple[Speed, ...]:
    return tuple(
        Speed(fraction.label, arm.name, 0.81, 160.0, 340.0, 0.47, 5, 0)
        for fraction in fractions
        for arm in arms
        if arm.kind == "run"
    )


def _floats(values) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
