"""How metrics, protocols, arms, estimates and findings are put into words, on the terminal and on the pages alike."""

import math

from medcl.errors import UsageError
from medcl.evaluate.results import ArmInfo, Difference, Estimate, Fraction, Results, ResultTarget
from medcl.evaluate.results_tables import Procedure
from medcl.wording import METRICS, NOTHING, bounds, count, decimals, number

PROTOCOLS = {"probe": "Linear probe", "knn": "k nearest neighbours", "finetune": "Full fine-tuning"}
MACRO = ("auroc", "auprc")


def protocol_name(protocol: str) -> str:
    """The protocol as a heading."""
    return PROTOCOLS.get(protocol, protocol[:1].upper() + protocol[1:])


def own_protocol(results: Results, protocol: str, arm: str) -> str:
    """The protocol by which an arm is measured: a simple baseline has one, the probe, where there are labels."""
    simple = results.arm(arm).kind == "baseline" and results.target.kind != "retrieval"
    return "probe" if simple else protocol


def main_metric(results: Results, protocol: str) -> str:
    """The main metric of the results, or the first of a protocol that does not have it."""
    own = [row.metric for row in results.summary if row.protocol == protocol and not row.class_name]
    return results.metric if results.metric in own or not own else own[0]


def arm_name(protocol: str, arm: ArmInfo) -> str:
    """An arm in words; a frozen encoder is not trained 'from scratch', its weights stay random."""
    if arm.kind == "random" and not arm.title:
        suffix = arm.name.removeprefix("random")
        return ("random weights" if protocol in ("probe", "knn") else "from scratch") + suffix
    return arm.title or arm.name


def metric_name(metric: str, target: ResultTarget) -> str:
    """The metric's name, saying where it is a mean over classes. F1 is one for a binary target as well."""
    averaged = metric in MACRO and target.kind in ("multiclass", "multilabel")
    name = METRICS.get(metric, metric)
    unit = f" ({target.unit})" if target.unit and metric in ("mae", "rmse") else ""
    return (f"macro-{name}" if averaged or metric == "f1" else name) + unit


def estimate(row: Estimate | None, *, signed: bool = False) -> str:
    """A mean and its main interval, with one number of decimals; a dash where nothing was measured."""
    if row is None or math.isnan(row.mean):
        return NOTHING
    places = decimals(max(abs(x) for x in (row.mean, row.low, row.high) if not math.isnan(x)))
    return f"{number(row.mean, digits=places, signed=signed)} {bounds(row.low, row.high, digits=places)}".rstrip()


def repeats_bounds(row: Estimate | None) -> str:
    """The interval over repeats alone; a dash where there is none."""
    return (bounds(row.repeats_low, row.repeats_high) if row else "") or NOTHING


def p_value(p: float) -> str:
    """A p-value as `p = 0.012` or `p < 0.001`; empty where there is none."""
    if math.isnan(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {number(p)}"


def fraction_words(fraction: Fraction, unit: str = "patient") -> str:
    """What a fraction is, for a sentence: `With 10% of the labels (36 patients)`."""
    if not fraction.patients:
        return "Without labels"
    held = f"{count(fraction.patients)} patient" + ("" if fraction.patients == 1 else "s")
    if unit == "record":
        held = f"{count(fraction.records)} record" + ("" if fraction.records == 1 else "s") + f" of {held}"
    if not fraction.label.endswith("%"):
        return f"With the labels of {held}"
    share = "all labels" if fraction.label == "100%" else f"{fraction.label} of the labels"
    return f"With {share} ({'raised to ' if fraction.raised else ''}{held})"


def fraction_name(fraction: Fraction) -> str:
    """A fraction and its size, for a heading."""
    return f"{fraction.label} ({count(fraction.patients)} patients)" if fraction.patients else "no labels"


def repeats_words(many: Procedure) -> str:
    """What a mean was taken over."""
    repeats = f"{many.repeats} repeat" + "s" * (many.repeats != 1)
    return f"{many.folds} folds of {repeats}" if many.folds > 1 else repeats


def interval_words(many: Procedure) -> str:
    """What the main interval is over."""
    if many.bootstrap:
        return "test patients" + " and repeats" * (many.repeats > 1)
    return "folds" if many.folds > 1 else "repeats"


def other_repeats(results: Results) -> list[str]:
    """A sentence for each protocol and fraction whose means rest on another number of repeats than the procedure's."""
    expected = results.procedure.repeats
    held = {(row.protocol, row.label): row.repeats for row in results.summary}
    return [
        f"{protocol_name(protocol)} at {label} labels: {n} repeat{'' if n == 1 else 's'} instead of {expected}."
        for (protocol, label), n in held.items()
        if n != expected
    ]


def deterministic(results: Results) -> list[str]:
    """A sentence for each protocol and fraction of which no repeat differs from another.

    Random weights are drawn anew in each repeat: where theirs are equal, the fit is not deterministic.
    """
    same: dict[tuple[str, str], list[str]] = {}
    if results.procedure.folds > 1:
        return []
    for row in results.summary:
        if (
            row.metric == results.metric
            and not row.class_name
            and row.repeats > 1
            and results.arm(row.arm).kind != "random"
            and row.repeats_low == row.repeats_high
        ):
            same.setdefault((row.protocol, row.label), []).append(arm_name(row.protocol, results.arm(row.arm)))
    return [
        f"{protocol_name(protocol)} at {label} labels: all repeats of {', '.join(names)} are equal, for the fit is "
        "deterministic; the interval is over test patients alone."
        for (protocol, label), names in same.items()
    ]


def headline_fraction(results: Results) -> Fraction:
    """The fraction of the headline: 10% where it was measured, else the smallest; not chosen by its result.

    Raises:
        UsageError: the results have no fraction.
    """
    if not results.fractions:
        raise UsageError("the results have no label fraction, so there is nothing to show")
    return next((f for f in results.fractions if f.label == "10%"), results.fractions[0])


def headline_protocol(results: Results) -> str:
    """The protocol of the headline: full fine-tuning where it was measured, else the first."""
    return "finetune" if "finetune" in results.protocols else results.protocols[0]


def reference(results: Results) -> ArmInfo | None:
    """What the first arm is held against: random weights where they were measured, else the second arm."""
    others = results.arms[1:]
    return next((arm for arm in others if arm.kind == "random"), others[0] if others else None)


def gap(results: Results, protocol: str, arm: str, other: str, label: str, metric: str) -> Difference | None:
    """The difference arm - other in either order of the arms."""
    found = results.difference(protocol, arm, other, label, metric)
    if found is not None:
        return found
    turned = results.difference(protocol, other, arm, label, metric)
    return None if turned is None else _turned(turned)


def _turned(row: Difference) -> Difference:
    ends = {"low": -row.high, "high": -row.low, "repeats_low": -row.repeats_high, "repeats_high": -row.repeats_low}
    return Difference(**{**vars(row), "mean": -row.mean, "arm": row.other, "other": row.arm, **ends})


def finding(results: Results, protocol: str) -> str:
    """What a protocol found at the headline's fraction, in a sentence that claims no more than its interval."""
    fraction, metric, other = headline_fraction(results), main_metric(results, protocol), reference(results)
    first = results.find(protocol, results.arms[0].name, fraction.label, metric)
    name, main = metric_name(metric, results.target), arm_name(protocol, results.arms[0])
    start = fraction_words(fraction, results.procedure.unit)
    second = None if other is None else results.find(protocol, other.name, fraction.label, metric)
    paired = None
    if other is not None:
        paired = gap(results, protocol, results.arms[0].name, other.name, fraction.label, metric)
    if first is None or second is None or paired is None or other is None or math.isnan(paired.mean):
        value = f"{name} of {main} is {estimate(first)}" if first else f"{name} was not measured"
        return f"{start} {value}; there is no paired difference."
    theirs = arm_name(protocol, other)
    values = f"{name} is {estimate(first)} {_by(main)} and {estimate(second)} {_by(theirs)}"
    return f"{start} {values}: difference {change(paired)}."


def change(paired: Difference) -> str:
    """A difference, and whether its interval shows one."""
    doubt = "" if paired.excludes_zero else ", an interval that includes zero: a difference is not shown"
    alone = ", without an interval, since there is one repeat only"
    return estimate(paired, signed=True) + (alone if math.isnan(paired.low) else doubt)


def _by(arm: str) -> str:
    return arm if arm.startswith(("pretrained", "from scratch")) else f"{'by' if arm == 'chance' else 'with'} {arm}"


def baseline_clause(results: Results) -> str:
    """How the first arm compares with the best simple baseline at the headline's fraction; empty without one."""
    fraction, metric = headline_fraction(results), results.metric
    protocol = headline_protocol(results)
    rows = [
        (row, arm)
        for arm in results.arms
        if arm.kind == "baseline" and arm != reference(results)
        if (row := results.find(own_protocol(results, protocol, arm.name), arm.name, fraction.label, metric))
    ]
    rows = [(row, arm) for row, arm in rows if not math.isnan(row.mean)]
    if not rows:
        return ""
    row, arm = max(rows, key=lambda one: one[0].mean)
    paired = gap(results, protocol, results.arms[0].name, arm.name, fraction.label, metric)
    unlabelled = results.target.kind == "retrieval"
    best = f"{'Chance' if unlabelled else f'The best simple baseline, {arm.title or arm.name},'} has {estimate(row)}"
    return f"{best}; the difference to it is {estimate(paired, signed=True)}." if paired else f"{best}."
