"""GOAL: parts of images, sentences of their reports, and what the whole has of both, against slow loops."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, interpolate

from medcl.errors import UsageError
from medcl.modality.report.encoders import TextEncoder
from medcl.modality.report.rewriting import SentenceTokens
from medcl.modality.report.text import sentences
from medcl.pretrain.check import check
from medcl.pretrain.reading import read
from tests.pretrain import shipped

from .texts import WIDTH, encoder_of, objective_of, step_of

TEXTS = (
    "A mild nodule is seen. No scar is seen.",
    "A cavity is seen.",
    "No scar is seen. A cavity is seen. No nodule.",
)
SIZE, STRIDE = (16, 8), 4
SETTINGS = {"kind": "goal", "between": ["image", "report"], "temperature": 0.2}


class Cells(nn.Module):
    """A map of an image with one cell a patch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.config = SimpleNamespace(dim=WIDTH)
        self.layer = nn.Conv2d(1, WIDTH, STRIDE, STRIDE)

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(length // STRIDE for length in size)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x).flatten(2).mT
        return found

    def pool(self, dense: Tensor) -> Tensor:
        return dense.mean(dim=1)


def losses(texts: tuple[str, ...] = TEXTS, missing: int | None = None, **settings: Any) -> dict[str, Tensor]:
    encoder, cells = encoder_of(TEXTS), Cells()
    objective = objective_of(SETTINGS | settings, encoder, cells, (1, *SIZE))
    step, _ = step_of(objective, encoder, texts, images_of(len(texts)), cells)
    if missing is not None:
        here = torch.arange(len(texts)) != missing
        (key, seen), *rest = [(key, one) for key, one in step.seen.items() if key[0] == "image"]
        assert not rest
        drawn = replace(seen.drawn, x=seen.drawn.x[here], source=seen.drawn.source[here])
        own = replace(seen, drawn=drawn, ids={name: one[here] for name, one in seen.ids.items()})
        step = replace(step, seen={**step.seen, key: own}, present={**step.present, "image": here})
    return objective(step)


def images_of(number: int) -> Tensor:
    return torch.rand(number, 1, *SIZE, generator=torch.Generator().manual_seed(2))


def slow(encoder: TextEncoder, cells: Cells, texts: tuple[str, ...], temperature: float) -> dict[str, Tensor]:
    """By loops, with boxes in pixels and the middles of the cells."""
    rows, columns = SIZE
    boxes = [(0, 0, rows, columns)]
    boxes += [(r, c, r + rows // 2, c + columns // 2) for r, c in product((0, rows // 2), (0, columns // 2))]
    chosen = []
    for image, text in zip(images_of(len(texts)), texts, strict=True):
        x = torch.from_numpy(encoder.tokenizer([text], 64)).long()
        numbers, _ = SentenceTokens(encoder.tokenizer)(x)
        dense_image, dense_text = cells(image[None])[0], encoder(x)[0]
        best: tuple[float, tuple[Any, ...]] = (-2.0, ())
        for (top, left, bottom, right), (n, part) in product(boxes, enumerate(sentences(text))):
            crop = interpolate(image[None, :, top:bottom, left:right], size=SIZE, mode="bilinear")
            c = cells.pool(cells(crop))[0]
            s = encoder.embed(torch.from_numpy(encoder.tokenizer([part], 64)).long())[0]
            places = [(STRIDE * r + 2, STRIDE * q + 2) for r, q in product(range(4), range(2))]
            inside = torch.tensor([top <= r < bottom and left <= q < right for r, q in places])
            found = c, s, dense_image[inside].mean(dim=0), dense_text[numbers[0] == n].mean(dim=0), part
            if (cosine := cosine_similarity(c, s, dim=0).item()) > best[0]:
                best = cosine, found
        chosen.append(best[1])
    c, s, image_part, text_part = (torch.stack([one[n] for one in chosen]) for n in range(4))
    score = cosine_similarity(c[:, None], s[None], dim=2) / temperature
    equal = torch.tensor([[a[4] == b[4] for b in chosen] for a in chosen])
    both = [-(score.log_softmax(dim=dim) * equal / equal.sum(dim, keepdim=True)).sum(dim).mean() for dim in (1, 0)]
    return {
        "contrast": torch.stack(both).mean(),
        "image": (1 - cosine_similarity(image_part, c)).square().mean(),
        "report": (1 - cosine_similarity(text_part, s)).square().mean(),
    }


def test_the_three_terms_are_those_of_the_best_pair_of_an_image_that_is_not_square() -> None:
    found, wanted = losses(), slow(encoder_of(TEXTS), Cells(), TEXTS, 0.2)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert value > 1e-3, name
        torch.testing.assert_close(found[name], value)


def test_one_record_has_nothing_to_be_told_from() -> None:
    assert abs(losses(TEXTS[:1])["contrast"]) < 1e-6


def test_the_whole_image_is_its_own_part() -> None:
    assert losses(grid=1)["image"] < 1e-10


def test_equal_sentences_are_no_negatives() -> None:
    """All candidates are positive, so that the loss is that of equal scores or above, and not pushed towards 0."""
    assert losses((TEXTS[1],) * 3)["contrast"] >= torch.log(torch.tensor(3.0)) - 1e-5


def test_a_record_without_an_image_or_a_sentence_is_left_out() -> None:
    plain = losses(TEXTS[:2])
    for found in (losses(TEXTS, missing=2), losses((*TEXTS[:2], ""))):
        for name, value in plain.items():
            torch.testing.assert_close(found[name], value)


def test_no_pair_at_all_is_no_loss() -> None:
    with pytest.warns(UserWarning, match="no anchor of this batch"):
        found = losses(("", ""))
    assert all(value.item() == 0 for value in found.values())
    sum(found.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "changes",
    [{"between": ["report", "image"]}, {"loss": "siglip"}, {"positives": "text"}, {"grid": 0}, {"image": -1.0}],
)
def test_what_has_no_parts_or_sentences_is_refused(changes: dict[str, object]) -> None:
    content = shipped.content("goal")
    objectives = {**content["objectives"], "parts": content["objectives"]["parts"] | changes}
    with pytest.raises(UsageError, match=r"parts"):
        check(read({**content, "objectives": objectives}))


def test_maps_with_too_few_cells_are_refused() -> None:
    with pytest.raises(UsageError, match=r"4 x 2 cells has no 3 parts"):
        losses(grid=3)
    with pytest.raises(UsageError, match="no map of cells"):
        objective_of(SETTINGS, encoder_of(TEXTS))
