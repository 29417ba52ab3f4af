"""GML: contrast as a classifier of classes, adjusted by their frequencies."""

from functools import partial
from math import inf, log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.gml import class_scores, gml
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients

Y = torch.tensor([0, 1, 0, 2, -1, 0, 1])
KEY_LABELS = torch.tensor([0, 2, 1, 2, -4])
PRIOR, WIDTHS = torch.tensor([5.0, 2.0, 1.0]).double(), torch.tensor([0.2, 0.3, 0.5]).double()


def score(z: Tensor, keys: Tensor, labels: Tensor, c: int, width: Tensor, own: int = -1) -> Tensor:
    counted = [k for k in range(len(keys)) if labels[k] == c and k != own]
    if not counted:
        return torch.tensor(-inf).double()
    return sum((torch.exp(z @ keys[k] / width) for k in counted), z.new_zeros(())).div(len(counted)).log()


def pair_by_pair(
    z: Tensor, y: Tensor, prior: Tensor, widths: Tensor, keys: Tensor | None = None, labels: Tensor | None = None
) -> Tensor:
    """The loss, in loops."""
    keys, labels = (z[:0], y[:0]) if keys is None or labels is None else (keys, labels)
    z, keys = F.normalize(z, dim=1), F.normalize(keys, dim=1)
    every, places, total = torch.cat([z, keys]), torch.cat([y, labels]), z.new_zeros(())
    for i, own in enumerate(y.tolist()):
        if own < 0:
            continue
        for features in (True, False):
            a, b, w = (z, every, widths.detach()) if features else (z.detach(), every.detach(), widths)
            itself = -1 if features else i
            scores = [score(a[i], b, places, c, w[c], itself) + prior[c].log() for c in range(len(prior))]
            if scores[own] > -inf:
                total = total - torch.stack(scores).log_softmax(0)[own]
    return total / int((y >= 0).sum())


def expected(z: Tensor, widths: Tensor, keys: Tensor) -> Tensor:
    return pair_by_pair(z, Y, PRIOR, widths, keys, KEY_LABELS)


def test_the_loss_equals_its_formula() -> None:
    found = partial(lambda z, w, keys: gml(z, Y, PRIOR, w, keys=keys, key_labels=KEY_LABELS))
    assert_same(found, expected, draw(7, 3), WIDTHS.clone(), draw(5, 3, seed=3))


def test_how_often_a_class_is_among_the_keys_does_not_count() -> None:
    z, keys, widths = draw(50, 3, seed=2), draw(40, 3, seed=1), torch.tensor([0.5, 0.5]).double()
    labels, rare = torch.arange(40) % 2, torch.arange(40) % 2 == 1
    often = torch.cat([keys, *[keys[~rare]] * 9])
    found = class_scores(z, often, torch.cat([labels, *[labels[~rare]] * 9]), widths)
    torch.testing.assert_close(found, class_scores(z, keys, labels, widths))


def test_a_class_without_a_key_is_left_out() -> None:
    z, keys = draw(2, 3), draw(3, 3, seed=1)
    scores = class_scores(z, keys, torch.tensor([0, 0, 2]), WIDTHS)
    assert (scores[:, 1] == -inf).all()
    assert scores[:, [0, 2]].isfinite().all()
    loss = partial(gml, y=torch.tensor([0, 2]), prior=PRIOR, temperature=WIDTHS)
    for found in value_and_gradients(loss, z):
        assert found.isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="prior and temperature are"):
        gml(draw(7, 3), Y, PRIOR, WIDTHS[:2])
    with pytest.raises(UsageError, match="each embedding and each key has a class"):
        gml(draw(7, 3), Y, PRIOR, WIDTHS, keys=draw(2, 3))


def test_a_prior_moves_the_border_by_its_logarithm() -> None:
    z, y = draw(6, 3), torch.tensor([0, 0, 0, 1, 1, 1])
    keys, labels = draw(8, 3, seed=4), torch.tensor([0, 1] * 4)
    given = {"keys": keys, "key_labels": labels, "temperature": torch.tensor([0.4, 0.4]).double()}
    even = gml(z, y, torch.tensor([1.0, 1.0]), **given)
    assert gml(z, y, torch.tensor([7.0, 7.0]), **given) == pytest.approx(float(even))
    first = gml(z[:3], y[:3], torch.tensor([9.0, 1.0]), **given)
    assert first < gml(z[:3], y[:3], torch.tensor([1.0, 9.0]), **given) - log(2)
