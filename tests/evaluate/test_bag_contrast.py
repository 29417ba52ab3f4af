"""SC-MIL: the contrast of bags by hand, and what it is worth where a class is rare."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.evaluate.attention_probe import PROBE, AsTheyAre, Embedded, attention_probe
from medcl.evaluate.bag_contrast import BagContrast
from medcl.evaluate.config import FinetuneConfig
from medcl.evaluate.protocols import fine_tune, predict
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks import TASKS
from medcl.evaluate.tasks.base import Task

CPU = torch.device("cpu")


def test_bags_of_one_class_attract_each_other() -> None:
    torch.manual_seed(0)
    contrast = BagContrast(6)
    pooled, classes = torch.randn(5, 6), torch.tensor([0, 1, 1, 2, 1])
    z = F.normalize(contrast.head(pooled), dim=1)
    terms = []
    for i in range(5):
        partners = [j for j in range(5) if j != i and classes[j] == classes[i]]
        below = sum(torch.exp(z[i] @ z[j] / 0.1) for j in range(5) if j != i)
        if partners:
            terms.append(-sum(torch.log(torch.exp(z[i] @ z[j] / 0.1) / below) for j in partners) / len(partners))
    torch.testing.assert_close(contrast(pooled, classes), sum(terms) / len(terms), rtol=1e-4, atol=1e-5)
    # The loss of the labels takes its place by the last step.
    labels = torch.tensor(7.0)
    torch.testing.assert_close(contrast.with_labels(labels, pooled, classes, 0.0), contrast(pooled, classes))
    assert contrast.with_labels(labels, pooled, classes, 1.0) == labels


@pytest.mark.filterwarnings("ignore:no anchor of this batch")
def test_a_batch_without_a_partner_adds_nothing() -> None:
    contrast = BagContrast(6)
    pooled = torch.randn(3, 6, requires_grad=True)
    loss = contrast(pooled, torch.arange(3))
    loss.backward()
    assert loss == 0
    assert pooled.grad is not None
    assert torch.equal(pooled.grad, torch.zeros(3, 6))


def test_what_has_no_class_is_refused() -> None:
    task = TASKS["regression"](ResultTarget("age", "regression", ()), np.arange(4.0))
    samples = Embedded(np.zeros((4, 3), np.float32), np.arange(4))
    with pytest.raises(UsageError, match="one class of each item, and age is regression"):
        fine_tune(
            AsTheyAre(3),
            task,
            samples,
            np.arange(2),
            np.arange(2, 4),
            FinetuneConfig(steps=1, contrast="sc-mil"),
            seed=0,
            device=CPU,
        )


def bags(count: int, share: float, foreign: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples (N, 16), their bags (N,) and the labels of the bags: of the rare class a fifth of the samples is marked.

    Of other bags half of the samples may be of a foreign tissue, which training has not seen.
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) < share * count).astype(np.int64)
    z = rng.normal(size=(count, 20, 16)).astype(np.float32)
    for bag, label in enumerate(labels):
        if label:
            z[bag, :4, 0] += 4.0
        elif foreign:
            z[bag, :10, 1] += 3.0
    return z.reshape(-1, 16), np.repeat(np.arange(count), 20), labels


def balanced_accuracy(contrast: str, seed: int) -> float:
    """Of gated attention trained on 1 rare bag in 10, tested on as many of each, with foreign tissue."""
    parts = [bags(80, 0.1, False, seed), bags(40, 0.5, False, 50 + seed), bags(200, 0.5, True, 100 + seed)]
    z = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[2] for part in parts])
    first = np.cumsum([0, 80, 40])
    item = np.concatenate([part[1] + start for part, start in zip(parts, first, strict=True)])
    train, validation, test = np.arange(80), np.arange(80, 120), np.arange(120, 320)
    task: Task = TASKS["binary"](ResultTarget("ill", "binary", ("no", "yes")), labels)
    config = replace(PROBE, steps=200, windows=20, contrast=contrast)  # type: ignore[arg-type]
    ways = {"pooling": "gated", "seed": seed, "device": CPU, "config": config}
    tuned, samples, _ = attention_probe(task, z, item, train, validation, **ways)  # type: ignore[arg-type]
    said = predict(tuned.network, task, samples, test, CPU)[:, -1] > 0.5
    truth = labels[test] == 1
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)


@pytest.mark.acceptance
def test_a_rare_class_gains_from_the_contrast_of_bags() -> None:
    found = {name: np.array([balanced_accuracy(name, seed) for seed in range(5)]) for name in ("none", "sc-mil")}
    assert (found["sc-mil"] - found["none"]).mean() > 0.05
