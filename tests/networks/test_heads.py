import pytest
import torch
from torch import nn

from medcl.errors import UsageError
from medcl.networks.heads import ClassifierHead, ProjectionHead


def test_projection_head_has_the_asked_layers() -> None:
    head = ProjectionHead(32, hidden=16, out=8, layers=3)
    linear = [(layer.in_features, layer.out_features) for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert linear == [(32, 16), (16, 16), (16, 8)]
    assert head(torch.randn(4, 10, 32)).shape == (4, 10, 8)
    assert head(torch.randn(64, 32)).min() < 0, "the projection itself is not rectified"


def test_one_layer_is_a_linear_projection() -> None:
    head = ProjectionHead(32, out=8, layers=1)
    a, b = torch.randn(2, 4, 32)
    torch.testing.assert_close(head(a + b) + head(torch.zeros(4, 32)), head(a) + head(b))


def test_projection_head_without_layers_is_refused() -> None:
    with pytest.raises(UsageError, match="layers=0"):
        ProjectionHead(32, layers=0)


def test_classifier_head_learns_a_separable_problem() -> None:
    torch.manual_seed(0)
    z = torch.randn(128, 16)
    y = (z[:, 0] > 0).long()
    head = ClassifierHead(16, 2)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(z), y).backward()
        optimiser.step()
    logits = head.eval()(z)
    assert logits.shape == (128, 2)
    assert (logits.argmax(dim=1) == y).float().mean() > 0.95
