"""Arms beside those that they are compared with, as rows of Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_rel

from medcl.stats.intervals import holm
from medcl.stats.ranking import Floats

Values = dict[str, dict[str, dict[str, float]]]
"""{arm: {seed: {measure: value}}}"""
LEFT_OUT = ("pointing", "cnr", "miou", "iou_both")
"""Measures that say much the same as the AUROC of pixels."""
HEADINGS = {"pixel_auroc": "AUROC of pixels"}
LEVEL = 0.05


def lines(table: Values, beside: Mapping[str, str]) -> list[str]:
    """Rows of a Markdown table: the mean over seeds, and the paired difference to another arm with its 95% interval.

    The interval is that of a t-test of pairs with the same seed. Bold is a difference whose p-value, adjusted by Holm's
    method for all arms of its column, is below 0.05.

    Args:
        table: the values; the rows are in its order.
        beside: {arm: the one that it is compared with}; one that is not in the table stands for the first row.
    """
    first = next(iter(table))
    measures = dict.fromkeys(key for of in table.values() for row in of.values() for key in row)
    columns = {one: _column(table, beside, first, one) for one in measures if one not in LEFT_OUT}
    found = [f"| arm | {' | '.join(HEADINGS.get(one, one) for one in columns)} |", "|---|" + "--:|" * len(columns)]
    return found + [f"| {name} | {' | '.join(column[name] for column in columns.values())} |" for name in table]


def _column(table: Values, beside: Mapping[str, str], first: str, measure: str) -> dict[str, str]:
    values = {name: _of(of, measure) for name, of in table.items()}
    others = {name: beside[name] if beside[name] in table else first for name in table}
    tests = {}
    for name, own in values.items():
        both = len(own) > 1 and len(own) == len(values[others[name]])
        if others[name] != name and both:
            tests[name] = ttest_rel(own, values[others[name]])
    adjusted = dict(zip(tests, holm([one.pvalue for one in tests.values()]), strict=True))
    found = {}
    for name, own in values.items():
        found[name] = f"{own.mean():.2f}" if len(own) else ""
        if name in tests:
            apart, (low, high) = (own - values[others[name]]).mean(), tests[name].confidence_interval(0.95)
            told = f"{apart:+.2f} [{low:+.2f}, {high:+.2f}]"
            found[name] += f" (**{told}**)" if adjusted[name] < LEVEL else f" ({told})"
    return found


def _of(seeds: Mapping[str, Mapping[str, float]], measure: str) -> Floats:
    """(seeds,) in the order of the seeds, those that have the measure."""
    order: Sequence[str] = sorted(seeds, key=int)
    return np.array([seeds[seed][measure] for seed in order if measure in seeds[seed]])
