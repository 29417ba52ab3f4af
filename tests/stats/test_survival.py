"""Survival metrics equal scikit-survival where it is installed, a slow reference, and repeated records."""

import numpy as np
import pytest
from scipy.stats import chi2

from medcl.errors import MedclError
from medcl.stats.intervals import bootstrap_metrics
from medcl.stats.survival import (
    OF_SURVIVAL,
    Steps,
    SurvivalPredictions,
    breslow,
    censoring_distribution,
    kaplan_meier,
    log_rank,
    survival_at,
)

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def cohort(seed: int, n: int = 150) -> Data:
    """Tied times (months), events and tied risks of a proportional-hazards model with censoring."""
    rng = np.random.default_rng(seed)
    risk = np.round(rng.standard_normal(n), 1)
    event_time = rng.exponential(20 * np.exp(-risk)) ** 0.8
    censored = rng.uniform(0, 40, n)
    return np.ceil(np.minimum(event_time, censored)), event_time <= censored, risk


def predictions(seed: int, tau: float = 30.0) -> tuple[SurvivalPredictions, Data, Data, np.ndarray]:
    train, test, times = cohort(seed, 200), cohort(seed + 1), np.arange(2.0, 25.0, 1.5)
    # Follow-up in training is the longer one, as scikit-survival demands.
    train[0][:2], train[1][:2] = 60, False
    survival = survival_at(breslow(*train), test[2], times)
    censoring = censoring_distribution(*train[:2])
    return SurvivalPredictions.of(*test, censoring, tau=tau, times=times, survival=survival), train, test, times


@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_scikit_survival(seed: int) -> None:
    sksurv = pytest.importorskip("sksurv.metrics")
    from sksurv.linear_model.coxph import BreslowEstimator
    from sksurv.nonparametric import CensoringDistributionEstimator, kaplan_meier_estimator
    from sksurv.util import Surv

    ours, train, test, times = predictions(seed)
    of_train, of_test = (Surv.from_arrays(event, time) for time, event, _ in (train, test))
    found = {name: value[0] for name, value in ours.metrics(np.ones((len(test[0]), 1)))[0].items()}
    harrell = sksurv.concordance_index_censored(test[1], test[0], test[2])[0]
    assert found["harrell_c"] == pytest.approx(harrell, abs=1e-10)
    uno = sksurv.concordance_index_ipcw(of_train, of_test, test[2], tau=30)[0]
    assert found["uno_c"] == pytest.approx(uno, abs=1e-10)
    ibs = sksurv.integrated_brier_score(of_train, of_test, ours.survival, times)
    assert found["ibs"] == pytest.approx(ibs, abs=1e-10)
    np.testing.assert_allclose(ours.brier().mean(0), sksurv.brier_score(of_train, of_test, ours.survival, times)[1])
    unique, curve = kaplan_meier_estimator(test[1], test[0])
    np.testing.assert_allclose(kaplan_meier(*test[:2])(unique), curve, atol=1e-12)
    G = CensoringDistributionEstimator().fit(of_train)
    np.testing.assert_allclose(ours.censoring(times), G.predict_proba(times), atol=1e-12)
    theirs = BreslowEstimator().fit(train[2], train[1], train[0])
    np.testing.assert_allclose(breslow(*train)(times), theirs.cum_baseline_hazard_(times), atol=1e-12)


def by_pairs(time: np.ndarray, event: np.ndarray, risk: np.ndarray, own: np.ndarray) -> float:
    right = known = 0.0
    for i in np.flatnonzero(event):
        for j in range(len(time)):
            if time[i] < time[j] or (time[i] == time[j] and not event[j]):
                known += own[i]
                right += own[i] * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return right / known


def test_concordance_counts_pairs() -> None:
    ours, _, test, _ = predictions(7, tau=20.0)
    found, _ = ours.metrics(np.ones((150, 1)))
    assert found["harrell_c"][0] == pytest.approx(by_pairs(*test, np.ones(150)))
    own = np.where(test[0] < 20, 1 / ours.censoring(test[0]) ** 2, 0)
    assert found["uno_c"][0] == pytest.approx(by_pairs(*test, own))
    assert 0.5 < found["harrell_c"][0] < 1


def test_weights_repeat_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medcl.stats.survival._BLOCK", 16)
    ours, _, test, times = predictions(3)
    weights = np.random.default_rng(0).integers(0, 3, (150, 4))
    found, _ = ours.metrics(weights.astype(float))
    assert tuple(found) == OF_SURVIVAL
    curves = kaplan_meier(*test[:2], weights.astype(float))
    for b, column in enumerate(weights.T):
        rows = np.repeat(np.arange(150), column)
        parts = {"censoring": ours.censoring, "tau": ours.tau, "times": times, "survival": ours.survival[rows]}
        repeated, _ = SurvivalPredictions.of(*(one[rows] for one in test), **parts).metrics(np.ones((len(rows), 1)))
        for name in OF_SURVIVAL:
            assert found[name][b] == pytest.approx(repeated[name][0], abs=1e-12)
        np.testing.assert_allclose(curves(times)[:, b], kaplan_meier(test[0][rows], test[1][rows])(times))


def test_patients_are_resampled_like_those_of_any_metric() -> None:
    ours, *_ = predictions(5)
    boot, _ = bootstrap_metrics([ours, ours], np.arange(150) // 2, n_boot=60)
    plain, _ = ours.metrics(np.ones((150, 1)))
    for name in OF_SURVIVAL:
        assert np.std(boot[name]) > 0
        assert boot[name].mean() == pytest.approx(plain[name][0], abs=0.03)


def test_kaplan_meier_of_a_small_case() -> None:
    curve = kaplan_meier([1, 2, 2, 3, 4], [True, True, False, False, True])
    np.testing.assert_allclose(curve([0.5, 1, 2, 3.5, 4]), [1, 0.8, 0.6, 0.6, 0])
    # At time 2 the event comes first: three are at risk of censoring.
    censoring = censoring_distribution([1, 2, 2, 3, 4], [True, True, False, False, True])
    np.testing.assert_allclose(censoring([1.9, 2, 3]), [1, 2 / 3, 1 / 3])


def test_a_model_that_orders_all_has_a_concordance_of_one_and_constant_risks_of_a_half() -> None:
    time, event = np.arange(1.0, 31), np.ones(30, dtype=bool)
    everyone = censoring_distribution(time, event)
    ones = np.ones((30, 1))
    for risk, expected in ((-time, 1.0), (time, 0.0), (np.zeros(30), 0.5)):
        found, _ = SurvivalPredictions.of(time, event, risk, everyone).metrics(ones)
        assert found["harrell_c"][0] == found["uno_c"][0] == expected
        assert "ibs" not in found
    nobody, _ = SurvivalPredictions.of(time, ~event, time, everyone).metrics(ones)
    assert np.isnan(nobody["harrell_c"][0])


def test_bad_input_is_refused() -> None:
    censoring = Steps(np.zeros(1), np.ones(1), 1.0)
    with pytest.raises(MedclError, match="negative"):
        kaplan_meier([-1.0], [True])
    with pytest.raises(MedclError, match="same records"):
        SurvivalPredictions.of([1.0, 2], [1, 0], [0.1], censoring)
    with pytest.raises(MedclError, match="not finite"):
        SurvivalPredictions.of([1.0, 2], [1, 0], [0.1, np.nan], censoring)
    with pytest.raises(MedclError, match="ascending"):
        SurvivalPredictions.of([1.0, 2], [1, 0], [0.1, 0.2], censoring, times=[1], survival=[[0.5], [0.5]])


def test_the_log_rank_test_is_its_sum_over_times_of_events() -> None:
    time, event, risk = cohort(5)
    group = risk > 0
    observed = expected = variance = 0.0
    for t in np.unique(time[event]):
        there, died = time >= t, (time == t) & event
        n, n1, d = there.sum(), (there & group).sum(), died.sum()
        observed, expected = observed + (died & group).sum(), expected + d * n1 / n
        variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / max(n - 1, 1)
    p = chi2.sf((observed - expected) ** 2 / variance, 1)
    assert log_rank((time[group], event[group]), (time[~group], event[~group])) == pytest.approx(p, rel=1e-6)
    assert log_rank((time, event), (time, event)) == pytest.approx(1.0)
