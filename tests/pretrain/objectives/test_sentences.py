"""Objectives of the sentences of reports, on tokens of texts that are written here."""

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.clip import clip
from medcl.contrast.pairings.pairs import itself, matrix
from medcl.errors import UsageError
from medcl.modality.report.encoders import TextEncoder
from medcl.modality.report.rewriting import SentenceTokens
from medcl.modality.report.text import sentences
from medcl.pretrain.check import check
from medcl.pretrain.reading import read
from tests.contrast.compare import draw, value_and_gradients
from tests.pretrain import shipped

from .texts import WIDTH, encoder_of, objective_of, step_of

TEXTS = (
    "A mild nodule is seen. No scar is seen.",
    "A cavity is seen.",
    "No scar is seen. A severe nodule is seen.",
)


def unit(z: Tensor) -> Tensor:
    return torch.nn.functional.normalize(z, dim=-1)


def alone(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    return torch.cat([encoder.embed(torch.from_numpy(encoder.tokenizer([one], 64)).long()) for one in texts])


def nce(s: Tensor, positive: Tensor) -> Tensor:
    rows = [-s[i].log_softmax(0)[own].mean() for i, own in enumerate(positive) if own.any()]
    return torch.stack(rows).mean()


def test_a_record_attracts_all_sentences_of_its_report_and_equal_ones_of_others() -> None:
    encoder, images = encoder_of(TEXTS), draw(3, WIDTH).float()
    objective = objective_of({"kind": "sentences", "between": ["image", "report"], "temperature": 0.2}, encoder)
    step, _ = step_of(objective, encoder, TEXTS, images)
    parts = [part for text in TEXTS for part in sentences(text)]
    scores = unit(images) @ unit(alone(encoder, parts)).T / 0.2
    positive = torch.tensor([[part in sentences(text) for part in parts] for text in TEXTS])
    expected = (nce(scores, positive) + nce(scores.T, positive.T)) / 2
    torch.testing.assert_close(objective(step)[""], expected)


def test_reports_of_one_sentence_are_clip() -> None:
    texts = ["A cavity is seen.", "A scar is seen.", "A nodule is seen."]
    encoder, images = encoder_of(texts), draw(3, WIDTH).float()
    objective = objective_of({"kind": "sentences", "between": ["image", "report"], "temperature": 0.2}, encoder)
    step, x = step_of(objective, encoder, texts, images)
    plain = clip(images, encoder.embed(x), itself(images), temperature=0.2)
    torch.testing.assert_close(objective(step)[""], plain)


def test_a_sentence_in_its_context_attracts_the_same_words_only() -> None:
    encoder = encoder_of(TEXTS)
    settings = {"kind": "sentences", "of": "report", "positives": "text", "temperature": 0.2}
    objective = objective_of(settings, encoder)
    step, x = step_of(objective, encoder, TEXTS)
    numbers, _ = SentenceTokens(encoder.tokenizer)(x)
    dense, z, said = encoder(x), [], []
    for _ in range(2):
        for row, text in enumerate(TEXTS):
            for n, part in enumerate(sentences(text)):
                z.append(dense[row][numbers[row] == n].mean(dim=0))
                said.append(part)
    scores = (unit(torch.stack(z)) @ unit(torch.stack(z)).T / 0.2).masked_fill(torch.eye(len(z)) > 0, -torch.inf)
    positive = torch.tensor([[a == b and i != j for j, b in enumerate(said)] for i, a in enumerate(said)])
    torch.testing.assert_close(objective(step)[""], nce(scores, positive))


def test_a_report_is_held_against_the_mean_of_its_sentences() -> None:
    encoder = encoder_of(TEXTS)
    objective = objective_of({"kind": "sentences", "of": "report", "positives": "whole", "temperature": 0.2}, encoder)
    step, x = step_of(objective, encoder, TEXTS)
    means = torch.stack([alone(encoder, sentences(text)).mean(dim=0) for text in TEXTS])
    scores = unit(encoder.embed(x)) @ unit(means).T / 0.2
    torch.testing.assert_close(objective(step)[""], nce(scores, torch.eye(3) > 0))


def test_a_sentence_pulls_until_it_has_its_share_of_the_siblings() -> None:
    """The derivative by a sibling's logit is its probability less 1/K."""
    k, records = 3, 2
    logits = draw(records, records * k, seed=3).requires_grad_()
    own = torch.arange(records * k) // k == torch.arange(records)[:, None]
    loss = -(logits.log_softmax(dim=1)[own].reshape(records, k).mean(dim=1)).mean()
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = (logits.softmax(dim=1) - own.double() / k) / records
    torch.testing.assert_close(gradient, expected.detach())


def test_one_to_k_is_the_mean_over_records_and_over_sentences() -> None:
    """Of its formula by loops; the released code gives the second direction 1/K of its weight."""
    images, sentences, temperature = draw(2, 4), draw(6, 4, seed=1), 0.2
    own = torch.arange(6) // 3 == torch.arange(2)[:, None]

    def loops(a: Tensor, b: Tensor) -> Tensor:
        s = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T / temperature
        there = torch.stack([s[i].logsumexp(0) - s[i, k] for i in range(2) for k in range(6) if own[i, k]])
        back = torch.stack([s[:, k].logsumexp(0) - s[i, k] for i in range(2) for k in range(6) if own[i, k]])
        return (there.sum() / (2 * 3) + back.sum() / 6) / 2

    found = value_and_gradients(partial(clip, pairing=matrix(own), temperature=temperature), images, sentences)
    for got, wanted in zip(found, value_and_gradients(loops, images, sentences), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    "changes",
    [{"between": ["report", "image"]}, {"loss": "siglip"}, {"positives": "text"}, {"most": 0}],
)
def test_what_has_no_sentences_is_refused(changes: dict[str, object]) -> None:
    content = shipped.content("one_to_k")
    objective = content["objectives"]["pair"] | changes
    with pytest.raises(UsageError, match=r"pair"):
        check(read({**content, "objectives": {"pair": objective}}))
