"""Which pairing goes with which similarity and loss: all are tried, and the documentation's table is the result."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medcl import contrast
from medcl.contrast import Pairing, Similarity, matrix, same
from medcl.contrast.similarity import Embeddings
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


def test_every_line_of_the_documentation_is_a_call_that_works() -> None:
    """The last column of the table of methods, run as it stands."""
    rows = re.findall(r"^\| .+ \| `(.+)` \|$", PAGE.read_text(), flags=re.MULTILINE)
    lines = [line for line in rows if "(" in line]
    assert len(lines) > 30
    torch.manual_seed(0)
    n, dim = 8, 4
    names = {name: getattr(contrast, name) for name in contrast.__all__}
    names |= {name: torch.randn(n, dim) for name in ("z1", "z2", "z3", "z4", "x", "y", "q", "image", "text", "ecg")}
    names |= {name: torch.randn(n, 6, dim) for name in ("regions", "cells1", "cells2", "features1", "features2")}
    names |= {
        "z": torch.randn(n, dim),
        "words": torch.randn(n, 3, dim),
        "dense1": torch.randn(n, 12, dim),
        "dense2": torch.randn(n, 12, dim),
        "sample": torch.arange(n),
        "study": torch.arange(n),
        "patient": torch.arange(n) // 2,
        "trial": torch.arange(n),
        "label": torch.arange(n) % 3,
        "text_hash": torch.arange(n) // 3,
        "slices": torch.arange(n) // 4 * 4 + torch.arange(n) % 2,
        "volumes": torch.arange(n) % 2,
        "partitions": torch.arange(n) // 4,
        "view": torch.arange(n) // 2 % 2,
        "position": torch.linspace(0, 1, n),
        "age": torch.linspace(20, 80, n),
        "predicted": torch.linspace(80, 20, n),
        "raw": torch.randn(n, 3),
        "frozen": torch.randn(n, 3),
        "target": torch.arange(n) % 2 == 0,
        "weights": torch.rand(n),
        "scores": [torch.randn(n, 5) for _ in range(3)],
        "log_scale": torch.tensor(2.3),
        "bias": torch.tensor(-10.0),
        "generator": torch.Generator(),
        "centres": torch.rand(6, 2),
        "places1": torch.rand(n, 6, 2),
        "places2": torch.rand(n, 6, 2),
        "diagonal": torch.ones(n),
        "queue": contrast.MomentumQueue(16, dim),
        "individual": contrast.IndividualTemperatures(n),
        "mixings": [contrast.draw(n, generator=torch.Generator()) for _ in range(3)],
    }
    names["queue"].enqueue(torch.randn(4, dim), {"id": torch.arange(100, 104)})
    for line in lines:
        value = eval(line, {}, names)  # noqa: S307 - our own page
        assert torch.isfinite(value).all(), line
