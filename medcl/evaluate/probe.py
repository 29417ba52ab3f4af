"""Frozen embeddings: the linear probe and nearest neighbours.

Both choose their one hyper-parameter on the validation patients and never see the test labels.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Target
from medcl.evaluate.task import Task
from medcl.stats.metrics import measure

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
NEIGHBOURS = (1, 3, 5, 10, 20, 50)

Predictor = Callable[[Floats], Floats]
"""Embeddings (n, dim) -> probabilities or values (n, outputs)."""


def linear_probe(task: Task, z: Floats, train: Rows, validation: Rows) -> Predictor:
    """Logistic regression (ridge regression for a continuous target) on standardised embeddings.

    Args:
        task: what is predicted.
        z: (records, dim) embeddings of all records of the manifest.
        train: rows to fit.
        validation: rows by which the penalty is chosen among `PENALTIES`.

    Returns:
        The predictor of the best penalty.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(z[train])
    x, y = scaler.transform(z[train]), task.columns(train)
    fits: Iterable[Predictor] = (_after(scaler.transform, _linear(task, x, y, penalty)) for penalty in PENALTIES)
    return _best(task, fits, z, validation)


def probe_scores(
    target: Target, labels: NDArray[Any], z: Floats, train: Rows, validation: Rows, test: Rows
) -> dict[str, float]:
    """The test metrics of a linear probe, first the one by which models are chosen.

    Args:
        target: that is predicted.
        labels: (records,) or, multilabel, (records, classes).
        z: (records, dim) embeddings.
        train: rows to fit.
        validation: rows by which the penalty is chosen.
        test: rows to test.

    Raises:
        MedclError: the metric is undefined on the test or the validation rows.
    """
    task = Task(target, labels)
    prediction = linear_probe(task, z, train, validation)(z[test])
    first = {task.metric: task.score(test, prediction)}
    found = measure(target.kind, labels[test], prediction, target.classes).metrics
    return first | {name: float(value) for name, value in found.items()}


def nearest_neighbours(task: Task, z: Floats, train: Rows, validation: Rows) -> Predictor:
    """Mean label of the k nearest training records by cosine similarity; k is chosen among `NEIGHBOURS`.

    Args:
        task: what is predicted.
        z: (records, dim).
        train: rows that vote.
        validation: rows by which k is chosen.

    Returns:
        The predictor of the best k.
    """
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(metric="cosine").fit(z[train])
    y = task.columns(train)

    def voting(k: int) -> Predictor:
        def predict(z_new: Floats) -> Floats:
            nearest = index.kneighbors(z_new, n_neighbors=k, return_distance=False)
            votes: Floats = y[nearest].mean(axis=1)
            return votes

        return predict

    return _best(task, (voting(k) for k in NEIGHBOURS if k <= len(train)), z, validation)


def _best(task: Task, predictors: Iterable[Predictor], z: Floats, validation: Rows) -> Predictor:
    # max keeps the first of equals: the stronger penalty, the fewer neighbours.
    return max(predictors, key=lambda predict: task.score(validation, predict(z[validation])))


def _after(transform: Callable[[Floats], Floats], predict: Predictor) -> Predictor:
    return lambda z: predict(transform(z))


def _linear(task: Task, x: Floats, y: Floats, penalty: float) -> Predictor:
    from sklearn.linear_model import LogisticRegression, Ridge

    if task.target.kind == "regression":
        ridge = Ridge(alpha=1 / penalty).fit(x, y)
        return lambda z: np.asarray(ridge.predict(z)).reshape(len(z), 1)
    if task.target.kind == "multiclass":
        model = LogisticRegression(C=penalty, max_iter=1000).fit(x, y.argmax(axis=1))
        return model.predict_proba  # type: ignore[no-any-return]
    models = [LogisticRegression(C=penalty, max_iter=1000).fit(x, column) for column in y.T]
    return lambda z: np.stack([model.predict_proba(z)[:, 1] for model in models], axis=1)
