"""Which pairing goes with which similarity and loss: all are tried, and the documentation's table is the result."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

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
    "cosine": contrast.cosine,
    "dot": contrast.dot,
    "one-sided": contrast.one_sided,
    "multilinear": contrast.multilinear,
    "Gram volume": contrast.gram_volume,
    "singular value": contrast.leading_singular_value,
    "late (GLoRIA)": contrast.gloria(),
    "late (SPARC)": contrast.sparc(),
}
LOSSES: dict[str, Callable[..., Tensor]] = {
    "info_nce": contrast.info_nce,
    "info_nce, inside": partial(contrast.info_nce, log="inside"),
    "info_nce, own": partial(contrast.info_nce, denominator="own"),
    "clip": contrast.clip,
    "decoupled": contrast.decoupled,
    "siglip": contrast.siglip,
    "debiased": contrast.debiased,
    "mochi": partial(contrast.mochi, hardest=2, synthetic=2, with_query=1, generator=torch.Generator()),
    "focal": contrast.focal,
    "auc": contrast.auc,
    "groco": partial(contrast.groco, positives=2, negatives=2),
    "cacr": contrast.cacr,
    "macl": contrast.macl,
    "align_uniform": contrast.align_uniform,
    "clip_without_gap": contrast.clip_without_gap,
    "info_loob": contrast.info_loob,
    "cloob": contrast.cloob,
}
WITHOUT_TEMPERATURE = ("cacr", "align_uniform")


def embeddings(similarity: str) -> tuple[Embeddings, Embeddings, list[Tensor]]:
    """Anchors and candidates as the similarity takes them, and the tensors they are made of."""
    if similarity.startswith("late"):
        regions, words = draw(N, 3, 4).requires_grad_(), draw(N, 2, 4, seed=1).requires_grad_()
        return regions, words, [regions, words]
    a, b, c = (draw(N, 4, seed=seed).requires_grad_() for seed in range(3))
    if similarity in ("cosine", "dot", "one-sided"):
        return a, b, [a, b]
    return a, (b, c), [a, b, c]


def works(loss: str, similarity: str, pairing: str, temperature: float) -> bool:
    """Whether the combination has a finite value and gradient; False when it is refused."""
    a, b, leaves = embeddings(similarity)
    options = {} if loss in WITHOUT_TEMPERATURE else {"temperature": temperature}
    if loss != "cloob":
        options["similarity"] = SIMILARITIES[similarity]  # type: ignore[assignment]
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
    lines = [f"| loss | {' | '.join(SIMILARITIES)} | weights |", f"|---|{':-:|' * (len(SIMILARITIES) + 1)}"]
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
