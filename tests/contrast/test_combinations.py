"""Which pairing goes with which similarity and loss: all are tried, and the documentation's table is the result."""

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl import contrast
from medcl.contrast import Pairing, Similarity, matrix, same
from medcl.contrast.similarities.similarity import Embeddings
from medcl.errors import UsageError
from tests.contrast.compare import draw

PAGE = Path(__file__).parents[2] / "docs" / "contrast.md"
IDS = torch.tensor([0, 1, 0, 2, 1])
N = len(IDS)
PAIRINGS: dict[str, Pairing] = {"ids": same(IDS), "weights": matrix(torch.softmax(draw(N, N, seed=9), dim=1))}
SIMILARITIES: dict[str, Similarity] = {
    name: value if isinstance(value, Similarity) else value() for name, value in contrast.SIMILARITIES.items()
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "info_nce": {"": {}, ", inside": {"log": "inside"}, ", own": {"denominator": "own"}},
    "mochi": {"": {"hardest": 2, "synthetic": 2, "with_query": 1, "generator": torch.Generator()}},
    "groco": {"": {"positives": 2, "negatives": 2}},
}
"""What losses are tried with, where it is not their defaults alone."""


def takes(loss: Callable[..., Tensor]) -> list[str]:
    return list(inspect.signature(loss).parameters)


LOSSES: dict[str, Callable[..., Tensor]] = {
    name + variant: partial(loss, **settings)
    for name, loss in contrast.LOSSES.items()
    if takes(loss)[2:3] == ["pairing"]
    for variant, settings in SETTINGS.get(name, {"": {}}).items()
}
"""All losses of two embeddings and a pairing."""
WITHOUT_TEMPERATURE = [name for name, loss in LOSSES.items() if "temperature" not in takes(loss)]


def embeddings(similarity: str) -> tuple[Embeddings, Embeddings, list[Tensor]]:
    """Anchors and candidates as the similarity takes them, and the tensors they are made of."""
    if similarity in ("gloria", "sparc"):
        regions, words = draw(N, 3, 4).requires_grad_(), draw(N, 2, 4, seed=1).requires_grad_()
        return regions, words, [regions, words]
    a, b, c = (draw(N, 4, seed=seed).requires_grad_() for seed in range(3))
    if similarity in ("cosine", "dot", "one_sided"):
        return a, b, [a, b]
    return a, (b, c), [a, b, c]


def works(loss: str, similarity: str, pairing: str, temperature: float) -> bool:
    """Whether the combination has a finite value and gradient; False when it is refused."""
    a, b, leaves = embeddings(similarity)
    options: dict[str, Any] = {} if loss in WITHOUT_TEMPERATURE else {"temperature": temperature}
    if "similarity" in takes(LOSSES[loss]):
        options["similarity"] = SIMILARITIES[similarity]
    elif similarity != "cosine":
        return False
    try:
        value = LOSSES[loss](a, b, PAIRINGS[pairing], **options)
    except UsageError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert len(said.split()) > 5, "a refusal is a sentence"
        return False
    gradients = torch.autograd.grad(value, leaves)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    return True


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("temperature", [1.0, 0.001])
def test_a_combination_is_finite_or_refused_with_a_sentence(loss: str, temperature: float) -> None:
    """At a temperature of 0.001, where exponentials of similarities overflow in any number format, too."""
    for similarity in SIMILARITIES:
        for pairing in PAIRINGS:
            works(loss, similarity, pairing, temperature)


def table() -> str:
    names = " | ".join(f"`{name}`" for name in SIMILARITIES)
    lines = [
        f"| loss | {names} | weights |",
        f"|---|{':-:|' * (len(SIMILARITIES) + 1)}",
    ]
    for loss in LOSSES:
        cells = ["x" if works(loss, name, "ids", 0.5) else "" for name in SIMILARITIES]
        lines.append(f"| `{loss}` | {' | '.join(cells)} | {'x' if works(loss, 'cosine', 'weights', 0.5) else ''} |")
    return "\n".join(lines)


def test_the_documentation_says_which_go_together() -> None:
    assert table() in PAGE.read_text(), f"docs/contrast.md should hold:\n{table()}"


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("align_uniform", "clip_without_gap")])
@pytest.mark.parametrize(("anchors", "candidates"), [(0, 4), (4, 0), (0, 0)])
def test_a_side_without_a_row_gives_0_with_a_gradient_of_0(loss: str, anchors: int, candidates: int) -> None:
    a, b = draw(anchors, 3).requires_grad_(), draw(candidates, 3).requires_grad_()
    value = LOSSES[loss](a, b, same(torch.arange(anchors), torch.arange(candidates)))
    value.backward()
    assert value == 0
    assert a.grad is not None
    assert b.grad is not None
    assert not a.grad.any()
    assert not b.grad.any()


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in (*WITHOUT_TEMPERATURE, "macl")])
@pytest.mark.parametrize("temperature", [0.0, -0.1])
def test_a_temperature_of_0_or_below_is_refused_as_a_tensor_too(loss: str, temperature: float) -> None:
    for given in (temperature, torch.tensor(temperature)):
        with pytest.raises(UsageError, match="temperature must be above 0"):
            LOSSES[loss](draw(5, 3), draw(5, 3, seed=1), PAIRINGS["ids"], temperature=given)


def test_a_batch_without_a_positive_is_told_once() -> None:
    nobody = same(torch.arange(3), torch.arange(3, 6))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            assert contrast.info_nce(draw(3, 2), draw(3, 2, seed=1), nobody) == 0
    assert len(told) == 1
    assert "no anchor of this batch has a positive" in str(told[0].message)
