"""Views of texts: what is left is text."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.rewriting import SentenceTokens
from medcl.modality.report.text import sentences
from medcl.modality.report.views import SentenceCrop, SentenceSample, WordCrop, WordDropout, Words
from medcl.modality.views import Compose
from medcl.pretrain.views import changed

SPECIAL = (0, 2, 3)
VIEWS = [WordCrop(SPECIAL, (0.3, 0.7)), WordDropout(SPECIAL, 0.4), WordDropout(SPECIAL, 1.0), WordCrop(SPECIAL, (0, 0))]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts() -> Tensor:
    """Texts of 9, 0, 1 and 30 words between special tokens; the words of each ascend."""
    x = torch.zeros(4, 34, dtype=torch.int64)
    for row, count in enumerate((9, 0, 1, 30)):
        x[row, : count + 2] = torch.tensor([2, *range(10, 10 + count), 3])
    return x


@pytest.mark.parametrize("view", VIEWS)
def test_special_tokens_and_some_word_stay_and_padding_is_behind(view: Words) -> None:
    x = texts()
    for seed in range(20):
        y = view.apply(x, view.draw(x, generator(seed)))
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        for before, after in zip(x, y, strict=True):
            size = int((after != 0).sum())
            assert (after[:size] != 0).all()
            assert (after[0], after[size - 1]) == (2, 3)
            words = after[1 : size - 1]
            assert (words.diff() > 0).all()
            assert (len(words) > 0) == bool((before >= 10).any())


def test_a_crop_is_one_part_of_the_text_of_the_share_asked_for() -> None:
    x = texts()
    sizes, starts = set(), set()
    for seed in range(200):
        view = WordCrop(SPECIAL, (0.3, 0.7))
        y = view.apply(x, view.draw(x, generator(seed)))[3]
        words = y[y >= 10]
        assert (words.diff() == 1).all()
        sizes.add(len(words))
        starts.add(int(words[0]))
    assert min(sizes) >= 9
    assert max(sizes) <= 21
    assert {10} < starts
    assert len(sizes) > 8
    whole = WordCrop(SPECIAL, (1, 1))
    assert torch.equal(whole.apply(x, whole.draw(x, generator())), x)


def test_words_are_left_out_as_often_as_asked_for() -> None:
    x = torch.arange(10, 60).repeat(400, 1)
    view = WordDropout(SPECIAL, 0.3)
    left = view.apply(x, view.draw(x, generator())) != 0
    assert left.float().mean().item() == pytest.approx(0.7, abs=0.01)
    nothing = WordDropout(SPECIAL, 0.0)
    assert torch.equal(nothing.apply(x, nothing.draw(x, generator())), x)


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_seed_gives_the_same_view_and_the_text_is_left_as_it_is(view: Words) -> None:
    x = texts()
    one, other = (view.apply(x, view.draw(x, generator(3))) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(x, texts())


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="word_dropout probability"):
        WordDropout(SPECIAL, 1.5)
    with pytest.raises(UsageError, match="word_crop share"):
        WordCrop(SPECIAL, (0.7, 0.2))
    with pytest.raises(UsageError, match=r"token ids \(B, L\)"):
        WordDropout(SPECIAL).apply(torch.zeros(2, 3), {})


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_of_each_text_and_not_of_the_first_of_its_batch(view: Words) -> None:
    """Training draws the parameters of a batch by its shape alone."""
    x = texts().flip(0)
    y, _ = changed(Compose([view]), x, 2, generator(), None)
    for before, after in zip(x.repeat(2, 1), y, strict=True):
        size = int((after != 0).sum())
        assert (after[0], after[size - 1]) == (2, 3)
        assert (size > 2) == bool((before >= 10).any())


def test_spans_are_whole_sentences_of_one_report() -> None:
    said = [
        "A nodule is seen. No scar is seen. A cavity is mild. No opacity is seen.",
        "Nothing is seen.",
    ]
    tokenizer = Tokenizer.train(said * 2, 300)
    x = torch.from_numpy(tokenizer(said, 64)).long()
    view = SentenceCrop(tuple(tokenizer.special), (0.1, 0.5), SentenceTokens(tokenizer, 64))
    every = [one.lower() for one in sentences(said[0])]
    spans = {" ".join(every[i:j]) for i in range(4) for j in range(i + 1, min(i + 3, 5))}
    found = set()
    for seed in range(60):
        y = view.apply(x, view.draw(x, generator(seed)))
        found.add(tokenizer.decode(y[0].tolist()))
        assert tokenizer.decode(y[1].tolist()) == said[1].lower()
    assert found == spans


def test_sentences_are_drawn_whole_and_put_in_any_order() -> None:
    said = ["A nodule is seen. No scar is seen. A cavity is mild.", "Nothing is seen.", ""]
    tokenizer = Tokenizer.train(said * 2, 300)
    x = torch.from_numpy(tokenizer(said, 64)).long()
    special = tuple(tokenizer.special)
    every = [one.lower() for one in sentences(said[0])]
    for share, sizes in (((0.4, 0.9), (2, 3)), ((1.0, 1.0), (3,)), ((0.0, 0.3), (1,))):
        view = SentenceSample(special, share, SentenceTokens(tokenizer, 64))
        found = set()
        for seed in range(300):
            y = view.apply(x, view.draw(x, generator(seed)))
            found.add(tokenizer.decode(y[0].tolist()))
            assert torch.equal(y[1:], x[1:])
            size = int((y[0] != 0).sum())
            assert (y[0, 0], y[0, size - 1]) == (x[0, 0], x[0][x[0] != 0][-1])
            assert (y[0, :size] != 0).all()
        assert found == {" ".join(one) for size in sizes for one in permutations(every, size)}
