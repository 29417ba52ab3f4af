"""Linear probes on frozen embeddings of several inputs: one of all of them, or one of each."""

import numpy as np

from medcl.errors import MedclError, UsageError
from medcl.evaluate.cells import Arrays
from medcl.evaluate.protocols import linear_probe, predict_linear
from medcl.evaluate.tasks.base import Floats, Rows, Task


def frozen_inputs(
    found: Arrays,
    task: Task,
    z: Floats,
    train: Rows,
    validation: Rows,
    test: Rows,
    hidden: tuple[int, ...],
    *,
    late: bool,
) -> Arrays:
    """What is predicted of the validation and the test items.

    Args:
        found: of `FusedArm.embed`.
        task: the labels.
        z: (items, dim), the embeddings side by side and, in the last columns, 1 for each input that is there.
        train: rows that are fitted to.
        validation: by which penalties are chosen.
        test: rows that are predicted.
        hidden: places of inputs that the test items are measured without.
        late: whether each input has a probe of its own, and what the probes predict is averaged; else there is one.

    Raises:
        UsageError: of a probe of its own, that no or too few labelled items have the input.
    """
    widths, fill = found["widths"].tolist(), found["fill"]
    total, ends = sum(widths), np.cumsum(widths)
    columns = [np.arange(end - width, end) for end, width in zip(ends.tolist(), widths, strict=True)]
    parts = {"validation": z[validation], "test": z[test].copy()}
    for k in hidden:
        parts["test"][:, columns[k]], parts["test"][:, total + k] = fill[columns[k]], 0
    if not late:
        model = linear_probe(task, z, train, validation)
        return {name: predict_linear(task, model, own) for name, own in parts.items()}
    sums: dict[str, Floats] = {}
    for k, own in enumerate(columns):
        has = z[:, total + k] > 0.5
        try:
            model = linear_probe(task, z[:, own], train[has[train]], validation[has[validation]])
        except (ValueError, MedclError) as error:
            raise UsageError(
                f"--fusion late: too few labelled items have the input {k + 1} of --inputs for a model of its own: "
                "take --fusion early, or more --labels"
            ) from error
        for name, values in parts.items():
            predicted = predict_linear(task, model, values[:, own])
            predicted = predicted.reshape(len(values), -1) if predicted.ndim < 2 else predicted
            there = values[:, total + k : total + k + 1] > 0.5
            sums[name] = sums.get(name, np.zeros_like(predicted)) + np.where(there, predicted, 0)
    return {name: sums[name] / np.maximum(own[:, total:].sum(axis=1, keepdims=True), 1) for name, own in parts.items()}
