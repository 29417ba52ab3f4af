"""Ridge probes of many labels at once equal scikit-learn's, and predict no patient that they saw."""

import numpy as np
from sklearn.linear_model import Ridge

from medcl.stats.ridge_probes import RidgeProbes


def test_the_probe_is_a_ridge_regression_that_saw_no_one_it_predicts() -> None:
    rng = np.random.default_rng(0)
    x, y, patients = rng.normal(size=(60, 5)), rng.normal(size=(60, 2)), np.arange(60) // 2
    y -= y.mean(0)
    probe = RidgeProbes.of(x, patients)
    said = probe.predict(y)
    for predicted, learned, _ in probe.folds:
        assert not set(patients[predicted]) & set(patients[learned])
        scaled = (x - x[learned].mean(0)) / x[learned].std(0)
        eigen = np.linalg.eigvalsh(scaled[learned].T @ scaled[learned])
        penalties = np.logspace(-6, 6, 100_001)
        freedom = (eigen / (eigen + penalties[:, None])).sum(1)
        penalty = penalties[np.abs(freedom - min(24 / 5, 2.5)).argmin()]
        slow = Ridge(alpha=penalty, fit_intercept=False).fit(scaled[learned], y[learned] - y[learned].mean(0))
        assert np.allclose(said[predicted], slow.predict(scaled[predicted]), atol=1e-3)
