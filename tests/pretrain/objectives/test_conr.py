"""ConR: a regression of both views, and the contrast of what it takes for alike."""

from typing import Any

import pytest
import torch

from medcl.contrast.losses.conr import conr
from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read

from .steps import BITS, Trained, batch_of, bits

AGE = {"kind": "conr", "of": "image", "target": "age", "centre": 60, "spread": 10, "within": 5}


def test_values_are_regressed_and_wrong_neighbours_pushed_apart() -> None:
    x, age = {"image": torch.randn(6, BITS)}, torch.tensor([40.0, 43.0, 61.0, float("nan"), 62.0, 80.0])
    trained = Trained({"age": AGE}, bits("image"))
    batch = batch_of(x)
    batch["ids"]["value:age"] = age
    found = trained(batch)
    own: Any = trained.objectives["age"]
    z = trained.encoders["image"](x["image"])[:, 0].repeat(2, 1)
    predicted, y = 60 + 10 * own.regression(z)[:, 0], age.repeat(2)
    torch.testing.assert_close(found["age.regression"], (predicted - y).abs()[~y.isnan()].mean() / 10)
    expected = conr(own.head(z), y, predicted.detach(), within=5, temperature=0.2)
    torch.testing.assert_close(found["age.contrast"], expected)
    assert trained.recipe.objectives["age"].losses == {"regression": 1.0, "contrast": 4.0}


def test_a_regression_without_a_target_is_refused() -> None:
    with pytest.raises(UsageError, match="objectives.age.target: names the column"):
        check(read({"inputs": {"image": {}}, "objectives": {"age": {"kind": "conr", "of": "image"}}}))
