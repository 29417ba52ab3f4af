"""The text encoder that is trained from scratch."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders import TextEncoder, build
from medcl.modality.report.encoders.tokens import Tokenizer

TEXTS = ["no pleural effusion", "the heart is enlarged and there is a small nodule in the left lung", "", "normal"]
POOLINGS = ("mean", "max", "cls", "latent")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS * 5, 400)


def encoder(tokenizer: Tokenizer, pooling: str = "mean") -> TextEncoder:
    torch.manual_seed(0)
    made = build(TextEncoderConfig(dim=16, hidden=32, pooling=pooling), tokenizer)  # type: ignore[arg-type]
    for weight in () if made.latent is None else made.latent.parameters():
        # Where training begins, it does nothing.
        torch.nn.init.normal_(weight, std=0.3)
    return made


def ids(tokenizer: Tokenizer, texts: list[str], padding: int = 0) -> Tensor:
    found = torch.from_numpy(tokenizer(texts, 64)).long()
    return torch.nn.functional.pad(found, (0, padding))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("gradient", [True, False])
def test_padding_changes_nothing(tokenizer: Tokenizer, pooling: str, gradient: bool) -> None:
    model = encoder(tokenizer, pooling).eval()
    with torch.set_grad_enabled(gradient):
        together = model.embed(ids(tokenizer, TEXTS))
        torch.testing.assert_close(model.embed(ids(tokenizer, TEXTS, padding=21)), together)
        for number, text in enumerate(TEXTS):
            torch.testing.assert_close(model.embed(ids(tokenizer, [text]))[0], together[number])


def test_padding_has_no_part_in_the_gradient(tokenizer: Tokenizer) -> None:
    gradients = []
    for padding in (0, 9):
        model = encoder(tokenizer).eval()
        model.embed(ids(tokenizer, TEXTS, padding)).square().sum().backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_dense_embeddings_are_zero_at_padding_and_pooled_where_there_are_tokens(tokenizer: Tokenizer) -> None:
    x = ids(tokenizer, TEXTS, padding=3)
    for pooling in POOLINGS:
        model = encoder(tokenizer, pooling).eval()
        dense = model(x)
        assert dense.shape == (*x.shape, 16)
        assert not dense[x == 0].any()
        own = [row[one != 0] for row, one in zip(dense, x, strict=True)]
        expected = {
            "mean": [row.mean(0) for row in own],
            "max": [row.amax(0) for row in own],
            "cls": [row[0] for row in own],
            "latent": [(row if model.latent is None else model.latent(row[None])[0]).mean(0) for row in own],
        }
        torch.testing.assert_close(model.pool(dense, x), torch.stack(expected[pooling]))


def test_rows_without_any_token_are_numbers_and_train(tokenizer: Tokenizer) -> None:
    x = torch.cat([torch.zeros(1, 6, dtype=torch.long), ids(tokenizer, ["normal"], 6)[:, :6]])
    for pooling in POOLINGS:
        model = encoder(tokenizer, pooling)
        z = model.embed(x)
        assert not z[0].any()
        z.square().sum().backward()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_words_are_neither_padding_nor_special(tokenizer: Tokenizer) -> None:
    x = ids(tokenizer, ["normal heart", ""], padding=2)
    keep = encoder(tokenizer).keep(x)
    sizes = (x != 0).sum(1)
    assert keep.sum(1).tolist() == (sizes - 2).tolist()
    assert not keep[:, 0].any()
    assert not keep[1].any()


def test_the_order_of_words_matters(tokenizer: Tokenizer) -> None:
    model = encoder(tokenizer).eval()
    one, other = model.embed(ids(tokenizer, ["the left lung is normal", "the normal lung is left"]))
    assert not torch.allclose(one, other, atol=1e-3)


def test_importing_it_does_not_import_transformers() -> None:
    program = (
        "import sys, medcl.modality.report.encoders as t\n"
        "from medcl.modality.report.config import TextEncoderConfig\n"
        "from medcl.modality.report.encoders.tokens import Tokenizer\n"
        "t.build(TextEncoderConfig(), Tokenizer.train(['a b'], 300))\n"
        "assert not {'transformers', 'peft'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TextEncoderConfig(dim=0), "dim=0"),
        (TextEncoderConfig(hidden=40), "multiple of 32"),
        (TextEncoderConfig(depth=0), "depth=0"),
        (TextEncoderConfig(dropout=1.0), "dropout=1"),
        (TextEncoderConfig(pooling="median"), "median"),  # type: ignore[arg-type]
        (TextEncoderConfig(pooling="latent", latents=0), "latents=0"),
        (TextEncoderConfig(freeze=1), "transformers models"),
        (TextEncoderConfig(lora=4), "transformers models"),
        (TextEncoderConfig(freeze=-2), "freeze=-2"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(
    tokenizer: Tokenizer, config: TextEncoderConfig, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(config, tokenizer)


@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(2, 3), torch.zeros(2, 0, dtype=torch.long)])
def test_ids_of_another_shape_or_type_are_refused(tokenizer: Tokenizer, x: Tensor) -> None:
    with pytest.raises(UsageError, match="a text encoder takes ids"):
        encoder(tokenizer)(x)
