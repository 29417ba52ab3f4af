"""A network of the user's own behind the contract of encoders."""

from collections import namedtuple

import pytest
import torch
from torch import nn

from medcl.errors import UsageError
from medcl.modality.table.encoders import build as build_table
from medcl.networks.config import ForeignEncoderConfig, is_foreign
from medcl.networks.encoder import pool
from medcl.networks.foreign import build

Answer = namedtuple("Answer", ["map", "other"])


class Shift(nn.Module):
    """Returns what it gets, moved by a weight, in the shape that is asked for."""

    def __init__(self, in_channels: int, shape: str = "same") -> None:
        super().__init__()
        self.in_channels, self.shape = in_channels, shape
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        y = x + self.weight
        answers = {
            "same": y,
            "last": y.movedim(1, -1),
            "pooled": y.flatten(2).mean(dim=2),
            "tuple": (None, y),
            "mapping": {"map": y},
            "named": Answer(y, None),
            "nothing": None,
        }
        return answers[self.shape]


def encoder(shape: str, layout: str, **settings):
    name = f"{__name__}:Shift"
    return build(ForeignEncoderConfig(name, 3, {"shape": shape}, layout, **settings), 3)


X = torch.arange(2 * 3 * 4 * 2.0).view(2, 3, 4, 2)


@pytest.mark.parametrize(
    ("shape", "layout", "output"),
    [
        ("same", "channels-first", ""),
        ("last", "channels-last", ""),
        ("tuple", "channels-first", "1"),
        ("tuple", "channels-first", "-1"),
        ("mapping", "channels-first", "map"),
        ("named", "channels-first", "map"),
    ],
)
def test_positions_are_in_the_order_of_the_input(shape: str, layout: str, output: str) -> None:
    made = encoder(shape, layout, output=output)
    assert made.network.in_channels == 3
    dense = made(X)
    assert dense.shape == (2, 8, 3)
    torch.testing.assert_close(dense, (X + 1).flatten(2).mT)
    torch.testing.assert_close(made.embed(X), (X + 1).mean(dim=(2, 3)))
    torch.testing.assert_close(pool(made, dense, X), made.embed(X))


def test_a_pooled_network_has_one_position() -> None:
    made = encoder("pooled", "pooled", pooling="max")
    assert made(X).shape == (2, 1, 3)
    torch.testing.assert_close(made.embed(X), (X + 1).mean(dim=(2, 3)))
    assert made(X[:0]).shape == (0, 1, 3)


def test_hidden_steps_of_a_table_are_missing() -> None:
    config = ForeignEncoderConfig(f"{__name__}:Shift", 2, {"shape": "same"}, "channels-first")
    made = build_table(config, (0, 4))
    x = torch.zeros(1, 2, 3)
    dense = made(x, torch.tensor([[True, False, True]]))
    assert dense.isnan().all(dim=2).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("shape", "layout", "words"),
    [
        ("same", "pooled", r"of a batch \(2, 3, 4, 2\) it returns a tensor \(2, 3, 4, 2\), where layout pooled"),
        ("last", "channels-first", r"promise \(batch, 3, \.\.\.\)"),
        ("same", "channels-last", r"promise \(batch, \.\.\., 3\)"),
        ("nothing", "pooled", "it returns a NoneType"),
    ],
)
def test_what_a_network_returns_is_held_against_its_settings(shape: str, layout: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        encoder(shape, layout)(X)


def test_names_with_a_colon_are_classes_and_folders_are_not() -> None:
    assert is_foreign({"name": "package.module:Class"})
    assert not any(is_foreign({"name": one}) for one in ("resnet", "models/bert", "C:\\models\\bert", "C:/models/bert"))
    assert not is_foreign({})
