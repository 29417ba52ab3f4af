"""What is made of token ids while training goes on: opposites, and the sentence of each token."""

import pytest
import torch

from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.rewriting import Known, OppositeTexts, SentenceTokens
from medcl.modality.report.swaps import SWAPS
from medcl.modality.report.text import sentences, text_code

TEXTS = [
    "A mild nodule is seen in the left upper zone. No cavity is seen.",
    "Kein Erguss links. Geringe Stauung, 2.5 cm, Dr. X stimmt zu.",
    "Unremarkable study.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS * 3, 400)


@pytest.fixture(scope="module")
def ids(tokenizer: Tokenizer) -> torch.Tensor:
    return torch.from_numpy(tokenizer(TEXTS, 64)).long()


def test_opposites_are_texts_of_which_one_word_says_something_else(tokenizer: Tokenizer, ids: torch.Tensor) -> None:
    tokens, there, own, wrong = OppositeTexts(tokenizer)(ids)
    said = {
        (row, kind): tokenizer.decode(tokens[row, n].tolist())
        for row in range(3)
        for n, kind in enumerate(SWAPS)
        if there[row, n]
    }
    assert said[0, "side"] == TEXTS[0].lower().replace("left", "right")
    assert said[0, "negation"] == TEXTS[0].lower().replace("no cavity", "some cavity")
    assert said[1, "side"] == TEXTS[1].lower().replace("links", "rechts")
    assert said[1, "severity"] == TEXTS[1].lower().replace("geringe", "ausgeprägte")
    assert not there[2].any()
    assert own.tolist() == [text_code(one) for one in TEXTS]
    assert wrong[0, SWAPS.index("side")] == text_code(said[0, "side"])
    assert set(wrong[~there].tolist()) == {-1}
    assert not tokens[~there].any()


def test_only_some_kinds_are_made_where_only_some_are_asked_for(tokenizer: Tokenizer, ids: torch.Tensor) -> None:
    tokens, there, _, _ = OppositeTexts(tokenizer, ["severity"])(ids)
    assert tokens.shape[:2] == (3, 1)
    assert there[:, 0].tolist() == [True, True, False]


def test_every_token_is_of_the_sentence_that_it_stands_in(tokenizer: Tokenizer, ids: torch.Tensor) -> None:
    numbers, codes = SentenceTokens(tokenizer)(ids)
    for row, text in enumerate(TEXTS):
        parts = sentences(text)
        found = [tokenizer.decode(ids[row][numbers[row] == n].tolist()) for n in range(len(parts))]
        assert found == [part.lower() for part in parts]
        assert codes[row, : len(parts)].tolist() == [text_code(part) for part in parts]
        assert (codes[row, len(parts) :] == -1).all()
    assert (numbers[torch.isin(ids, torch.tensor(tokenizer.special))] == -1).all()


def test_sentences_are_texts_of_their_own_and_no_more_than_asked_for(tokenizer: Tokenizer, ids: torch.Tensor) -> None:
    alone = SentenceTokens(tokenizer).alone(ids)
    assert [tokenizer.decode(one.tolist()) for one in alone] == [
        one.lower() for text in TEXTS for one in sentences(text)
    ]
    numbers, codes = SentenceTokens(tokenizer, most=1)(ids)
    assert codes.shape == (3, 1)
    assert numbers.max() == 0
    assert len(SentenceTokens(tokenizer, most=1).alone(ids)) == 3


def test_a_text_is_looked_at_once(ids: torch.Tensor) -> None:
    seen: list[list[int]] = []
    known = Known(lambda row: seen.append(row) or len(row))  # type: ignore[func-returns-value]
    padded = torch.nn.functional.pad(ids, (0, 5))
    assert known(ids) == known(padded)
    assert len(seen) == 3
