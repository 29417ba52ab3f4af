"""Arms beside those that they are compared with, as rows of Markdown."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import ttest_rel

from medcl.stats.intervals import holm

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
    others = {name: beside[name] if beside[name] in table else first for name in table}
    measures = dict.fromkeys(key for of in table.values() for row in of.values() for key in row)
    shown = [one for one in measures if one not in LEFT_OUT]
    columns = [_column(table, others, one) for one in shown]
    found = [f"| arm | seeds | {' | '.join(HEADINGS.get(one, one) for one in shown)} |", "|---" + "|--:" * len(shown)]
    found[1] += "|--:|"
    return found + [
        f"| {name} | {len(of)} | {' | '.join(one[name] for one in columns)} |" for name, of in table.items()
    ]


def _column(table: Values, others: Mapping[str, str], measure: str) -> dict[str, str]:
    """{arm: cell}."""
    values = {name: {seed: row[measure] for seed, row in of.items() if measure in row} for name, of in table.items()}
    pairs = {
        name: np.array(
            [(value, values[others[name]][seed]) for seed, value in own.items() if seed in values[others[name]]]
        )
        for name, own in values.items()
        if others[name] != name
    }
    tests = {name: ttest_rel(*both.T) for name, both in pairs.items() if len(both) > 1}
    adjusted = dict(zip(tests, holm([one.pvalue for one in tests.values()]), strict=True))
    found = {}
    for name, own in values.items():
        found[name] = f"{np.mean(list(own.values())):.2f}" if own else ""
        if name in tests:
            apart, (low, high) = np.subtract(*pairs[name].T).mean(), tests[name].confidence_interval(0.95)
            told = f"{apart:+.2f} [{low:+.2f}, {high:+.2f}]"
            found[name] += f" (**{told}**)" if adjusted[name] < LEVEL else f" ({told})"
    return found
