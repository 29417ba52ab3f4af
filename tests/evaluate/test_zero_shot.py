"""Zero-shot: prompts from YAML, their ensemble, metrics against scikit-learn, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from medcl.archive.manifest import Manifest, Target
from medcl.archive.schema import SCHEMA
from medcl.errors import MedclError, UsageError
from medcl.evaluate.zero_shot import (
    Prompts,
    check,
    classify,
    directions,
    measured,
    read_prompts,
)
from medcl.stats.class_metrics import balanced_accuracy
from medcl.stats.metrics import Predictions

REGION = Target("region", "multiclass", ("Head", "Thorax", "Abdomen"))
FINDINGS = Target("findings", "multilabel", ("Edema", "Fracture"))


def manifest(*targets: Target) -> Manifest:
    return Manifest(
        pa.table({name: pa.nulls(0, SCHEMA.field(name).type) for name in SCHEMA.names}), Path()
    ).with_targets({one.name: one for one in targets})


def read(tmp_path: Path, text: str) -> list[Prompts]:
    (tmp_path / "prompts.yaml").write_text(text, encoding="utf-8")
    return read_prompts(tmp_path / "prompts.yaml")


WHOLE = "region: {classes: {Head: [head], Thorax: [chest], Abdomen: [abdomen]}}"


def words(texts: Sequence[str]) -> torch.Tensor:
    """An encoder of texts that counts three words, at lengths that must not matter."""
    counts = [[text.count(word) for word in ("head", "chest", "abdomen")] for text in texts]
    return torch.tensor(counts, dtype=torch.float32) * torch.arange(1, len(texts) + 1)[:, None] + 1e-3


def test_templates_are_filled_with_every_prompt(tmp_path: Path) -> None:
    (prompts,) = read(
        tmp_path, 'region: {templates: ["{}", "Axial image of the {}."], classes: {Head: [head, brain, head]}}'
    )
    assert prompts.positive["Head"] == ("head", "brain", "Axial image of the head.", "Axial image of the brain.")


def test_classes_are_directions_of_their_prompts(tmp_path: Path) -> None:
    (prompts,) = read(tmp_path, WHOLE)
    directed = directions(prompts.positive, REGION.classes, words)
    torch.testing.assert_close(directed, torch.eye(3), atol=2e-3, rtol=0)
    probability = classify(torch.eye(3) * 5, prompts, REGION, words)
    assert probability.argmax(1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-6)


def test_an_ensemble_weighs_each_prompt_alike_whatever_its_length() -> None:
    def embed(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[100.0, 0.0], [0.0, 0.01]])[: len(texts)]

    mean = directions({"Head": ("a", "b")}, ["Head"], embed)
    torch.testing.assert_close(mean, torch.full((1, 2), 0.5**0.5))


def test_metrics_are_scikit_learns_and_chance_is_the_shares_of_the_classes() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    probability = rng.dirichlet(np.ones(3), 200) + 0.4 * np.eye(3)[truth]
    probability /= probability.sum(1, keepdims=True)
    own, by_chance = (one.metrics(np.ones((200, 1)))[0] for one in measured(REGION, truth, probability))
    assert own == {
        "auroc": pytest.approx(roc_auc_score(truth, probability, multi_class="ovr")),
        "accuracy": pytest.approx(accuracy_score(truth, probability.argmax(1))),
        "balanced_accuracy": pytest.approx(balanced_accuracy_score(truth, probability.argmax(1))),
    }
    shares = np.bincount(truth) / 200
    assert by_chance == {
        "auroc": pytest.approx(0.5),
        "accuracy": pytest.approx(shares.max()),
        "balanced_accuracy": pytest.approx(1 / 3),
    }


def test_balanced_accuracy_under_weights_is_that_of_repeated_records() -> None:
    rng = np.random.default_rng(1)
    truth, probability, weights = rng.integers(0, 3, 20), rng.random((20, 3)), rng.integers(0, 3, (20, 4))
    expected = [
        balanced_accuracy_score(np.repeat(truth, column), np.repeat(probability.argmax(1), column))
        for column in weights.T
    ]
    np.testing.assert_allclose(
        balanced_accuracy(Predictions.of("multiclass", truth, probability), weights.astype(float))[0], expected
    )


def test_a_binary_target_is_ranked_by_its_second_class() -> None:
    target = Target("sick", "binary", ("no", "yes"))
    truth = np.array([0, 0, 1, 1])
    probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    own, by_chance = (one.metrics(np.ones((4, 1)))[0] for one in measured(target, truth, probability))
    assert own == {"auroc": 1.0, "accuracy": 0.75, "balanced_accuracy": 0.75}
    assert by_chance == {"auroc": 0.5, "accuracy": 0.5, "balanced_accuracy": 0.5}


def test_multilabel_classes_are_ranked_alone_or_against_their_absence(tmp_path: Path) -> None:
    (prompts,) = read(
        tmp_path, "findings: {classes: {Edema: {positive: [head], negative: [chest]}, Fracture: [abdomen]}}"
    )
    assert prompts.negative == {"Edema": ("chest",)}
    check(prompts, manifest(FINDINGS))
    z = torch.tensor([[1.0, 0.2, 0.0], [0.5, 0.9, 0.0], [0.1, 0.1, 1.0]])
    values = classify(z, prompts, FINDINGS, words)
    assert values[0, 0] > 0.5 > values[1, 0]
    assert values[:, 1].argmax() == 2
    labels = np.array([[1, 0], [0, 0], [0, 1]], dtype=np.float32)
    macro, by_class = measured(FINDINGS, labels, values)[0].metrics(np.ones((3, 1)))
    assert macro == {"auroc": 1.0}
    assert by_class["auroc"].tolist() == [[1.0], [1.0]]


def test_a_class_that_no_record_has_is_undefined() -> None:
    _, by_class = measured(REGION, np.array([0, 1, 1]), np.eye(3))[0].metrics(np.ones((3, 1)))
    assert np.isnan(by_class["auroc"][:, 0]).tolist() == [False, False, True]
    with pytest.raises(MedclError, match="no test record has a label for 'region'"):
        measured(REGION, np.array([], dtype=np.int64), np.empty((0, 3)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region: {classes: {Head: [h], Thorax: [t], Abdomen: [a], Leg: [l]}}", "'Leg' not among its classes"),
        ("region: {classes: {Head: [h], Thorax: [t]}}", "none for 'Abdomen'"),
        ("plane: {classes: {axial: [a]}}", "no such target; it has region, findings, age"),
        ("age: {classes: {old: [a]}}", "it is a number"),
        (
            "region: {classes: {Head: {positive: [h], negative: [n]}, Thorax: [t], Abdomen: [a]}}",
            "only a multi-label target takes negative prompts",
        ),
    ],
)
def test_prompts_that_do_not_fit_the_manifest_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(read(tmp_path, text)[0], manifest(REGION, FINDINGS, Target("age", "regression")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region: {classes: {Head: []}}", "class 'Head' has no prompts"),
        ("region: {classes: {Head: ['  ']}}", "class 'Head' has no prompts"),
        ("region: {classes: {Head: {negative: [a]}}}", "class 'Head' has no prompts"),
        ("region: {Head: [head]}", "classes"),
        ("region: {templates: [no place], classes: {Head: [head]}}", "hold {} once"),
        ("region: {prompts: [x], classes: {Head: [head]}}", "not prompts"),
        ("- a list", "prompts are written as"),
        ("region: {classes: [", "not YAML"),
    ],
)
def test_prompts_that_are_written_otherwise_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        read_prompts(tmp_path / "none.yaml")
