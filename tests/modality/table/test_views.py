"""Views of tables: replayed by their parameters, and what each changes."""

import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.table.config import TableViewsConfig
from medcl.modality.table.views import build

N_CLASSES = (0, 4, 0)
ALL = TableViewsConfig(mix=0.3, noise=0.5, variable_dropout=0.2, value_dropout=0.2, mask="binomial")
SINGLE = [TableViewsConfig(**{name: 0.5}) for name in ("mix", "noise", "variable_dropout", "value_dropout")]


def batch(size=64, steps=7):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(size, 3, steps, generator=generator)
    x[:, 1] = torch.randint(0, 4, (size, steps), generator=generator).float()
    return x.masked_fill(torch.rand(x.shape, generator=generator) < 0.3, float("nan"))


def view(config, x, seed=0):
    views = build(config, N_CLASSES)
    params = views.draw(x, torch.Generator().manual_seed(seed))
    return views.apply(x, params), views.keep(params), params, views


def same(one, other):
    return torch.equal(one.nan_to_num(nan=1e9), other.nan_to_num(nan=1e9))


@pytest.mark.parametrize("config", [*SINGLE, ALL])
def test_a_view_is_replayed_by_its_parameters(config):
    x = batch()
    before = x.clone()
    made, _, params, views = view(config, x)

    assert same(views.apply(x, params), made)
    assert same(view(config, x)[0], made)
    assert not same(view(config, x, seed=1)[0], made)
    assert same(x, before), "the batch is left as it is"


@pytest.mark.parametrize("config", [*SINGLE, ALL])
def test_categories_stay_codes(config):
    made = view(config, batch())[0][:, 1]

    assert set(made[~made.isnan()].tolist()) <= {0, 1, 2, 3}


def test_mixing_takes_whole_variables_from_other_samples():
    x = batch()
    made, _, params, _ = view(TableViewsConfig(mix=0.5), x)

    taken, source = params["mix.taken"], params["mix.source"]
    assert 0.4 < taken.float().mean() < 0.6
    assert (source != torch.arange(64).unsqueeze(1)).all()
    for sample in range(64):
        for variable in range(3):
            origin = int(source[sample, variable]) if taken[sample, variable] else sample
            assert same(made[sample, variable], x[origin, variable])
    alone = batch(1)
    assert same(view(TableViewsConfig(mix=1.0), alone)[0], alone)


def test_noise_is_added_to_numbers_that_are_there():
    x = batch(4000)
    made = view(TableViewsConfig(noise=0.5), x)[0]

    assert torch.equal(made.isnan(), x.isnan())
    added = (made - x)[:, [0, 2]]
    # A standard deviation between 0 and 0.5, evenly: the mean square is 0.5 squared over 3.
    assert abs(added[~added.isnan()].square().mean() - 0.25 / 3) < 0.003
    assert same(made[:, 1], x[:, 1])


def test_dropout_hides_and_invents_nothing():
    x = batch(2000).nan_to_num(nan=0)
    variables = view(TableViewsConfig(variable_dropout=0.2), x)[0]
    values = view(TableViewsConfig(value_dropout=0.2), x)[0]

    for made in (variables, values):
        assert torch.equal(made[~made.isnan()], x[~made.isnan()])
        assert abs(made.isnan().float().mean() - 0.2) < 0.02
    hidden = variables.isnan()
    assert torch.equal(hidden.any(dim=2), hidden.all(dim=2))


def test_the_mask_is_handed_to_the_encoder():
    x = batch()

    assert view(ALL, x)[1].shape == (64, 7)
    assert view(SINGLE[0], x)[1] is None


@pytest.mark.parametrize("name", ["mix", "noise", "variable_dropout", "value_dropout"])
def test_settings_out_of_range(name):
    with pytest.raises(UsageError, match=name):
        build(TableViewsConfig(**{name: -0.1}), N_CLASSES)
