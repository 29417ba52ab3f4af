"""What is done a patient at a time has to stay affordable: the bootstrap and the division of large archives."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from medcl.archive.stratify import divide
from medcl.stats.intervals import bootstrap_metrics
from medcl.stats.metrics import Predictions

pytestmark = pytest.mark.benchmark


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_bootstrap_is_much_faster_than_scikit_learn_on_written_out_rows() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(900), rng.integers(1, 4, 900))
    truth = (rng.random((len(patients), 5)) < 0.2).astype(np.float32)
    probability = rng.random((1, len(patients), 5))
    rows_of = [np.flatnonzero(patients == patient) for patient in range(900)]

    def written_out(n_boot: int) -> None:
        for _ in range(n_boot):
            rows = np.concatenate([rows_of[patient] for patient in rng.integers(0, 900, 900)])
            roc_auc_score(truth[rows], probability[0, rows])
            average_precision_score(truth[rows], probability[0, rows])

    ours, theirs, made = [], [], [Predictions.of("multilabel", truth, probability[0])]
    for _ in range(3):
        ours.append(seconds(lambda: bootstrap_metrics(made, patients, n_boot=400)) / 400)
        theirs.append(seconds(lambda: written_out(20)) / 20)
    ratio = float(np.median(theirs) / np.median(ours))
    print(f"\nresample: {np.median(ours) * 1e3:.2f} ms, {np.median(theirs) * 1e3:.2f} ms, {ratio:.0f} x")
    assert ratio > 8


def test_time_to_divide_grows_in_proportion_to_the_patients() -> None:
    rng = np.random.default_rng(1)
    columns = rng.random((80_000, 20)) < rng.uniform(0.005, 0.3, 20)

    def run(n: int) -> None:
        divide(columns[:n], (0.7, 0.1, 0.2), np.random.default_rng(0))

    few, many = [], []
    for _ in range(3):
        few.append(seconds(lambda: run(10_000)) / 10_000)
        many.append(seconds(lambda: run(80_000)) / 80_000)
    ratio = float(np.median(many) / np.median(few))
    print(f"\nper patient: {np.median(few) * 1e6:.0f} us of 10,000 and {np.median(many) * 1e6:.0f} us of 80,000")
    assert ratio < 2
