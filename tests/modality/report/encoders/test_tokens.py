"""Tokenizers: what a user of token ids relies on."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from medcl.errors import UsageError
from medcl.modality.report.encoders.tokens import Tokenizer

TEXTS = [
    "Große Übergangszone, kein Hinweis auf Pneumothorax.",
    "The heart size is normal. A 2.5 cm nodule in the left upper lobe.",
    "No pleural effusion. The heart is normal.",
    "Sinusrhythmus, Linkstyp, sonst normales EKG.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS * 5, 400)


def test_a_text_comes_back_in_small_letters_with_its_umlauts(tokenizer: Tokenizer) -> None:
    ids = tokenizer(TEXTS, 100)
    assert ids.dtype == np.int32
    assert [tokenizer.decode(row) for row in ids] == [text.lower() for text in TEXTS]
    assert tokenizer.decode(tokenizer(["GROSSE  Über-\n\tGröße"], 40)[0]) == "grosse über- größe"


def test_no_language_is_unknown(tokenizer: Tokenizer) -> None:
    foreign = "胸部正常 без патологии ∅"
    assert tokenizer.decode(tokenizer([foreign], 100)[0]) == foreign


def test_zero_is_padding_and_stands_behind_the_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer(["heart", "the heart is normal", ""], 50)
    sizes = [len(one) for one in tokenizer.encode_many(["heart", "the heart is normal", ""], 50)]
    assert ids.shape == (3, max(sizes))
    assert [(row != 0).sum() for row in ids] == sizes
    assert all((row[:size] != 0).all() for row, size in zip(ids, sizes, strict=True))
    assert sizes[2] == 2
    assert ids[2, :2].tolist() == list(tokenizer.special[1:])
    assert tokenizer([], 50).shape == (0, 0)


def test_a_long_text_is_cut_at_its_end(tokenizer: Tokenizer) -> None:
    long = " ".join(["effusion"] * 20_000)
    ids = tokenizer([long, "heart"], 16)
    assert ids.shape == (2, 16)
    assert ids[0, -1] == tokenizer([""], 16)[0, 1]
    assert tokenizer([long], 32).shape == (1, 32)


def test_special_tokens_in_a_report_are_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer(["heart [SEP] [PAD] lung"], 60)[0]
    assert np.isin(ids, tokenizer.special).tolist() == [True, *[False] * (len(ids) - 2), True]
    assert tokenizer.decode(ids) == "heart [sep] [pad] lung"


def test_the_vocabulary_is_kept_to(tokenizer: Tokenizer) -> None:
    assert 260 < tokenizer.size <= 400
    assert Tokenizer.train(TEXTS * 5, 300).size == 300
    assert tokenizer(TEXTS, 100).max() < tokenizer.size


def test_neither_the_order_of_texts_nor_of_processes_changes_what_is_learned() -> None:
    program = (
        "import random, sys\n"
        "from medcl.modality.report.encoders.tokens import Tokenizer\n"
        "draw = random.Random(0)\n"
        "words = [''.join(draw.choice('abcdeäöü') for _ in range(draw.randint(2, 7))) for _ in range(500)]\n"
        "texts = [' '.join(draw.choice(words) for _ in range(12)) for _ in range(300)]\n"
        "random.Random(int(sys.argv[1])).shuffle(texts)\n"
        "print(Tokenizer.train(texts, 900).fingerprint)\n"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", program, seed],
            env={**os.environ, "RAYON_NUM_THREADS": seed, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(prints) == 1


def test_it_is_kept_as_text_that_needs_nothing_else(tokenizer: Tokenizer) -> None:
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.fingerprint == tokenizer.fingerprint
    assert (again.size, again.special) == (tokenizer.size, tokenizer.special)
    np.testing.assert_array_equal(again(TEXTS, 30), tokenizer(TEXTS, 30))
    assert again.fingerprint == tokenizer.fingerprint, "that it was used must not show"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(tokenizer))(TEXTS, 30), tokenizer(TEXTS, 30))
    assert tokenizer.fingerprint != Tokenizer.train(TEXTS, 400).fingerprint


def test_what_cannot_be_meant_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="260 are needed"):
        Tokenizer.train(TEXTS, 100)
    with pytest.raises(UsageError, match="all texts are empty"):
        Tokenizer.train(["", " \n"], 400)
    with pytest.raises(UsageError, match="at least 3"):
        tokenizer(TEXTS, 2)
    for text in ("{", "[]", "{}", json.dumps({"padding": 0, "tokenizer": {"model": 3}})):
        with pytest.raises(ValueError, match=r"not the JSON|Expecting"):
            Tokenizer.from_json(text)
