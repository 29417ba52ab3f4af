"""What every encoder of tables does, and its gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.table.config import TableEncoderConfig
from medcl.modality.table.encoders import ENCODERS, build

N_CLASSES = (0, 3, 0, 0)
NAN = float("nan")


def encoder(name, **settings):
    torch.manual_seed(0)
    config = TableEncoderConfig(name=name, dim=12, hidden=16, depth=2, dropout=0.0)
    return build(replace(config, **settings), N_CLASSES).double()


def batch(steps=5, missing=0.4):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, steps, generator=generator, dtype=torch.float64)
    x[:, 1] = torch.randint(0, 3, (6, steps), generator=generator).double()
    return x.masked_fill(torch.rand(x.shape, generator=generator) < missing, NAN)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_an_embedding_a_step_and_one_a_sample(name, steps):
    own = encoder(name)

    dense = own(batch(steps))

    assert dense.shape == (6, steps, 12)
    torch.testing.assert_close(own.pool(dense), dense.mean(dim=1))
    torch.testing.assert_close(own.embed(batch(steps)), dense.mean(dim=1))
    assert encoder(name, pooling="max").pool(dense).equal(dense.amax(dim=1))


@pytest.mark.parametrize("name", ENCODERS)
def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(name):
    own, x = encoder(name).eval(), batch()

    torch.testing.assert_close(own(x[2:3]), own(x)[2:3])
    torch.testing.assert_close(own(x.flip(0)), own(x).flip(0))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_hidden_step_is_as_if_it_were_missing(name):
    own, x = encoder(name), batch()
    keep = torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) < 0.5

    dense = own(x, keep)

    assert dense.equal(own(x.masked_fill(~keep.unsqueeze(1), NAN)))
    changed = torch.where(keep.unsqueeze(1), x, torch.zeros_like(x))
    assert dense.equal(own(changed, keep))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_sample_of_nothing_has_an_embedding(name):
    own, x = encoder(name), batch()
    x[3] = NAN

    assert own(x).isfinite().all()
    assert own(torch.full_like(x, NAN)).isfinite().all()


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_missing_is_not_the_mean(name):
    own, x = encoder(name), batch(missing=0)
    missing, mean = x.clone(), x.clone()
    missing[:, 0], mean[:, 0] = NAN, 0

    assert not torch.allclose(own(missing), own(mean))
    if name == "mlp":
        blind = encoder(name, indicators=False)
        torch.testing.assert_close(blind(missing), blind(mean))


@pytest.mark.parametrize("name", ENCODERS)
def test_gradients_of_weights_and_values(name):
    own, x = encoder(name), batch(steps=3)[:3]
    there = ~x.isnan()
    numbers = there.clone()
    numbers[:, 1] = False

    def of(values):
        return own.embed(x.masked_scatter(numbers, values))

    torch.autograd.gradcheck(of, (x[numbers].clone().requires_grad_(),))
    leaf = x.clone().requires_grad_()
    own.embed(leaf).square().sum().backward()
    assert leaf.grad[numbers].abs().min() > 0
    # What is missing has no influence, so no gradient, and never NaN.
    assert leaf.grad[~there].equal(torch.zeros(int((~there).sum()), dtype=torch.float64))
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in own.parameters())


def test_the_mlp_is_its_formula():
    own, x = encoder("mlp").eval(), batch()
    sample, step = 2, 3
    numbers = [x[sample, column, step].item() for column in (0, 2, 3)]
    features = [float(np.nan_to_num(value)) for value in numbers] + [float(not np.isnan(value)) for value in numbers]
    code = x[sample, 1, step].item()
    features += [float(code == one) for one in range(3)]
    value = torch.tensor(features, dtype=torch.float64)

    torch.testing.assert_close(own(x)[sample, step], own.layers(value))


def test_the_transformer_without_padding_gives_the_same():
    own, x = encoder("transformer").eval(), batch()

    for sample in range(len(x)):
        alone = own(x[sample : sample + 1])
        torch.testing.assert_close(alone[0], own(x)[sample])


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    ("x", "keep", "words"),
    [
        (torch.zeros(2, 3, 5), None, "4 variables"),
        (torch.zeros(2, 4), None, "4 variables"),
        (torch.zeros(2, 4, 0), None, "4 variables"),
        (torch.zeros(2, 4, 5, dtype=torch.int64), None, "floating-point"),
        (torch.zeros(2, 4, 5), torch.ones(2, 4, dtype=torch.bool), "keep"),
        (torch.full((2, 4, 5), 3.0), None, "number of classes"),
        (torch.full((2, 4, 5), -1.0), None, "number of classes"),
    ],
)
def test_what_an_encoder_does_not_take(name, x, keep, words):
    with pytest.raises(UsageError, match=words):
        encoder(name).float()(x, keep)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "mlpp"}, "did you mean|mlp"),
        ({"dim": 0}, "dim"),
        ({"dropout": 1.0}, "dropout"),
        ({"pooling": "sum"}, "pooling"),
        ({"name": "transformer", "hidden": 48}, "multiple of 32"),
    ],
)
def test_invalid_sizes(settings, words):
    with pytest.raises(UsageError, match=words):
        build(replace(TableEncoderConfig(), **settings), N_CLASSES)
