from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.contrast.similarities import late
from medcl.contrast.similarities.late import gloria, sparc
from medcl.contrast.similarities.similarity import Similarity, transposed
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

PAIRING = same(torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2, 1]))
REGIONS, WORDS = draw(3, 4, 2, seed=1), draw(4, 3, 2, seed=2)
HAS_REGION = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], dtype=torch.bool)
HAS_WORD = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [1, 1, 0]], dtype=torch.bool)


def unit(v: Tensor) -> Tensor:
    return v / (v @ v).sqrt()


def attended(
    image: list[Tensor],
    report: list[Tensor],
    attention: float = 0.25,
    aggregation: float = 0.2,
    over: str = "sum",
    words_first: bool = False,
) -> Tensor:
    image, report = [unit(v) for v in image], [unit(t) for t in report]
    matches = []
    for t in report:
        s = [t @ v for v in image]
        if words_first:
            s = [torch.exp(t @ v) / sum(torch.exp(other @ v) for other in report) for v in image]
        e = [torch.exp(x / attention) for x in s]
        context = sum(x / sum(e) * v for x, v in zip(e, image, strict=True))
        matches.append(torch.exp(unit(context) @ t / aggregation))
    return aggregation * torch.log(sum(matches) if over == "sum" else mean(matches))


def sparsified(image: list[Tensor], report: list[Tensor], threshold: float | None = None) -> Tensor:
    matches = []
    for t in (unit(t) for t in report):
        s = [t @ v for v in image]
        scaled = [(x - min(s)) / (max(s) - min(s)) for x in s]
        kept = [x if x >= (1 / len(image) if threshold is None else threshold) else 0 * x for x in scaled]
        matches.append(unit(sum(x / sum(kept) * v for x, v in zip(kept, image, strict=True))) @ t)
    return mean(matches)


def reference(regions: Tensor, words: Tensor, *, score: Callable[..., Tensor], masks: bool) -> Tensor:
    """CLIP's two directions over the scores of every image with every report."""
    images = [[v for k, v in enumerate(x) if HAS_REGION[i, k] or not masks] for i, x in enumerate(regions)]
    reports = [[t for k, t in enumerate(x) if HAS_WORD[j, k] or not masks] for j, x in enumerate(words)]
    scores = torch.stack([torch.stack([score(image, report) for report in reports]) for image in images]) / 0.3
    positives = PAIRING.pairs().positive
    means = []
    for s, positive in ((scores, positives), (scores.T, positives.T)):
        logs = s - s.exp().sum(dim=1, keepdim=True).log()
        means.append(mean([-mean(list(row[p])) for row, p in zip(logs, positive, strict=True) if p.any()]))
    return mean(means)


KNOWN = [
    (gloria(), attended),
    (
        gloria(attention=0.5, aggregation=0.1, over="mean"),
        partial(attended, attention=0.5, aggregation=0.1, over="mean"),
    ),
    (gloria(words_first=True), partial(attended, words_first=True)),
    (sparc(), sparsified),
    (sparc(threshold=0.6), partial(sparsified, threshold=0.6)),
]
EVERY = pytest.mark.parametrize(("similarity", "score"), KNOWN)
SIMILARITIES = pytest.mark.parametrize("similarity", [gloria(), sparc()], ids=lambda s: s.name)


@EVERY
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("part", [1, 2**24])
def test_the_loss_and_its_gradient_equal_the_loops(
    similarity: Similarity, score: Any, masks: bool, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "PART", part)

    def loss(regions: Tensor, words: Tensor) -> Tensor:
        sides = ((regions, HAS_REGION), (words, HAS_WORD)) if masks else (regions, words)
        return clip(*sides, PAIRING, temperature=0.3, similarity=similarity, block=2)

    assert_same(loss, partial(reference, score=score, masks=masks), REGIONS, WORDS)


@SIMILARITIES
def test_gradcheck(similarity: Similarity) -> None:
    def loss(regions: Tensor, words: Tensor) -> Tensor:
        return info_nce((regions, HAS_REGION), (words, HAS_WORD), PAIRING, temperature=0.3, similarity=similarity)

    assert torch.autograd.gradcheck(loss, (REGIONS.clone().requires_grad_(), WORDS.clone().requires_grad_()))


@SIMILARITIES
def test_a_report_that_names_one_region_is_as_similar_as_that_region(similarity: Similarity) -> None:
    """With one region or one word there is nothing to attend to: the cosine."""
    anchors, candidates = similarity.prepared(REGIONS[:, :1], WORDS[:, :1])
    cosines = torch.nn.functional.cosine_similarity(REGIONS[:, None, 0], WORDS[None, :, 0], dim=2)
    torch.testing.assert_close(similarity.score(anchors, candidates), cosines)


@SIMILARITIES
def test_what_is_masked_out_may_be_any_number(similarity: Similarity) -> None:
    def loss(regions: Tensor, words: Tensor) -> Tensor:
        return info_nce((regions, HAS_REGION), (words, HAS_WORD), PAIRING, similarity=similarity)

    broken = REGIONS.masked_fill(~HAS_REGION[..., None], torch.nan), WORDS.masked_fill(~HAS_WORD[..., None], torch.nan)
    found, expected = value_and_gradients(loss, *broken), value_and_gradients(loss, REGIONS, WORDS)
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted)


@SIMILARITIES
def test_empty_images_and_reports_have_similarity_0_and_a_finite_gradient(similarity: Similarity) -> None:
    has_region, has_word = HAS_REGION.clone(), HAS_WORD.clone()
    has_region[0], has_word[1] = False, False
    scores = similarity.score(*similarity.prepared((REGIONS, has_region), (WORDS, has_word)))
    assert torch.equal(scores[0], torch.zeros_like(scores[0]))
    assert torch.equal(scores[:, 1], torch.zeros_like(scores[:, 1]))
    for x in (REGIONS, torch.ones_like(REGIONS), torch.zeros_like(REGIONS)):
        loss = lambda r, w: info_nce((r, has_region), (w, has_word), PAIRING, similarity=similarity)  # noqa: E731
        assert all(found.isfinite().all() for found in value_and_gradients(loss, x, WORDS))


@SIMILARITIES
def test_words_as_anchors(similarity: Similarity) -> None:
    swapped = transposed(similarity)
    found = swapped.score(*swapped.prepared(WORDS, REGIONS))
    torch.testing.assert_close(found, similarity.score(*similarity.prepared(REGIONS, WORDS)).T)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="above 0"):
        gloria(attention=0.0)
    with pytest.raises(UsageError, match="sum or the mean"):
        gloria(over="maximum")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 to 1"):
        sparc(threshold=2.0)
    with pytest.raises(UsageError, match="regions must be"):
        info_nce(REGIONS[:, 0], WORDS, PAIRING, similarity=gloria())
    with pytest.raises(UsageError, match="words must be"):
        info_nce(REGIONS, (WORDS, HAS_WORD[:, :2]), PAIRING, similarity=gloria())
    with pytest.raises(UsageError, match="one width"):
        info_nce(REGIONS, WORDS[:, :, :1], PAIRING, similarity=sparc())
