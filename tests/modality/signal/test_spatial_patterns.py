"""Common spatial patterns, beside mne's."""

import numpy as np
from mne.decoding import CSP
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from medcl.modality.signal.covariances import products
from medcl.modality.signal.spatial_patterns import CommonSpatialPatterns


def trials(classes: np.ndarray, seed: int) -> np.ndarray:
    """(n, 5, 200): one source is stronger in each class, and all are mixed."""
    x = np.random.default_rng(seed).normal(size=(len(classes), 5, 200))
    for one in np.unique(classes):
        x[classes == one, one] *= 1.4
    return np.random.default_rng(0).normal(size=(5, 5)) @ x


def features(x: np.ndarray) -> np.ndarray:
    return products(x.astype(np.float32))


def test_two_classes_are_told_apart_as_by_the_patterns_of_mne() -> None:
    train, test = (np.random.default_rng(seed).permutation(np.arange(120) % 2) for seed in (1, 2))
    x, new = trials(train, 3), trials(test, 4)
    own = CommonSpatialPatterns()
    state = own.learn(features(x), train)
    scores = own.apply(features(new), state)
    assert scores.shape == (120, 1)
    rival = CSP(n_components=4, log=True)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(rival.fit_transform(x, train), train)
    expected = lda.decision_function(rival.transform(new))
    assert roc_auc_score(test, scores[:, 0]) >= 0.9
    assert np.corrcoef(scores[:, 0], expected)[0, 1] >= 0.98


def test_where_classes_do_not_differ_there_is_chance() -> None:
    train, test = np.arange(200) % 2, np.arange(400) % 2
    own = CommonSpatialPatterns()
    scores = own.apply(features(trials(0 * test, 4)), own.learn(features(trials(0 * train, 3)), train))
    assert 0.4 < roc_auc_score(test, scores[:, 0]) < 0.6


def test_three_classes_are_each_held_against_the_others() -> None:
    train, test = np.arange(150) % 3, np.arange(90) % 3
    own = CommonSpatialPatterns()
    scores = own.apply(features(trials(test, 6)), own.learn(features(trials(train, 5)), train))
    assert scores.shape == (90, 3)
    assert (scores.argmax(axis=1) == test).mean() >= 0.9


def test_a_record_of_each_class_and_dependent_or_flat_channels_give_finite_features() -> None:
    x = trials(np.array([0, 1, 0, 1]), 7)
    x[:, 3] = x[:, 0] + x[:, 1]
    x[:, 4] = 0.0
    own = CommonSpatialPatterns()
    for few in (2, 4):
        found = own.apply(features(x), own.learn(features(x[:few]), np.array([0, 1, 0, 1])[:few]))
        assert np.isfinite(found).all()
