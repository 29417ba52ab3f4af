"""Own survival metrics are there for the bootstrap: scikit-survival's, on written out rows, are their rival."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from medcl.stats.survival import SurvivalPredictions, censoring_distribution

pytestmark = pytest.mark.benchmark


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@pytest.mark.parametrize("records", [300, 1500])
def test_resamples_are_faster_than_scikit_survival_on_written_out_rows(records: int) -> None:
    sksurv = pytest.importorskip("sksurv.metrics")
    from sksurv.util import Surv

    rng = np.random.default_rng(0)
    risk = rng.standard_normal(records)
    happens, censored = rng.exponential(np.exp(-risk)), rng.uniform(0, 3, records)
    follow_up, event = np.minimum(happens, censored), happens <= censored
    every, grid = Surv.from_arrays(event, follow_up), np.linspace(0.1, 1.5, 30)
    survival = np.exp(-np.exp(risk)[:, None] * grid)
    ours = SurvivalPredictions.of(
        follow_up, event, risk, censoring_distribution(follow_up, event), tau=2.0, times=grid, survival=survival
    )
    weights = rng.multinomial(records, np.full(records, 1 / records), 200).T.astype(float)

    def written_out(resamples: int) -> None:
        for _ in range(resamples):
            rows = rng.integers(0, records, records)
            sksurv.concordance_index_censored(event[rows], follow_up[rows], risk[rows])
            sksurv.concordance_index_ipcw(every, every[rows], risk[rows], tau=2.0)
            sksurv.integrated_brier_score(every, every[rows], survival[rows], grid)

    own, theirs = [], []
    for _ in range(3):
        own.append(seconds(lambda: ours.metrics(weights)) / 200)
        theirs.append(seconds(lambda: written_out(5)) / 5)
    ratio = float(np.median(theirs) / np.median(own))
    print(f"\nresample: {np.median(own) * 1e3:.2f} ms, {np.median(theirs) * 1e3:.2f} ms, {ratio:.0f} x")
    assert ratio > 4
