import pytest
import torch
from torch import nn

from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import GlobalHead, LocalHead, SegmentationHead, UNet

every_head = pytest.mark.parametrize(
    ("head", "width"),
    [(GlobalHead(4 * 9, 16, 8), 4), (LocalHead(4), 4), (SegmentationHead(4, 3), 4)],
    ids=["global", "local", "segmentation"],
)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_heads_have_the_papers_sizes() -> None:
    assert parameters(GlobalHead(6 * 6 * 128)) == 4608 * 1024 + 1024 * 128
    assert parameters(LocalHead(64)) == 64 * 64 + 2 * 64 + 64 * 64
    assert parameters(SegmentationHead(16, 4)) == 9 * 16 * 16 + 2 * 16 + 9 * 16 * 4


def test_heads_fit_on_the_papers_network() -> None:
    unet = UNet(1)
    features = unet.encode(torch.rand(2, 1, 64, 64))
    assert GlobalHead(2 * 2 * 128)(features[-1]).shape == (2, 128)
    assert LocalHead(64)(unet.decode(features, upto=3)).shape == (2, 64, 16, 16)
    assert SegmentationHead(16, 4)(unet.decode(features)).shape == (2, 4, 64, 64)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_heads_of_volumes(norm: str) -> None:
    features = torch.randn(2, 4, 5, 6, 7)
    assert LocalHead(4, 3, norm)(features).shape == (2, 4, 5, 6, 7)
    assert SegmentationHead(4, 3, 3, norm)(features).shape == (2, 3, 5, 6, 7)
    assert GlobalHead(4 * 5 * 6 * 7, 16, 8)(features).shape == (2, 8)


def test_the_global_head_is_two_matrices_with_a_relu_between() -> None:
    head = GlobalHead(4 * 9, 16, 8)
    features = torch.randn(3, 4, 3, 3)
    first, second = head.hidden.weight, head.output.weight
    expected = (features.reshape(3, 36) @ first.T).clamp(min=0) @ second.T
    torch.testing.assert_close(head(features), expected)
    assert torch.equal(head(torch.zeros(3, 4, 3, 3)), torch.zeros(3, 8))


def test_the_local_head_sees_one_position_at_a_time() -> None:
    torch.manual_seed(0)  # of one in 16 random heads no channel is above 0 at that position
    head = LocalHead(4).eval()
    features = torch.randn(1, 4, 5, 5, requires_grad=True)
    head(features)[0, :, 2, 3].sum().backward()
    assert features.grad is not None
    assert features.grad[0].abs().sum(dim=0).nonzero().tolist() == [[2, 3]]
    assert head(features).min() < 0, "the projection itself is not rectified"


@every_head
def test_every_parameter_gets_a_gradient(head: nn.Module, width: int) -> None:
    head(torch.randn(2, width, 3, 3)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_another_image_size_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"built for 4608 features an image, got 3200 .*\(2, 128, 5, 5\)"):
        GlobalHead(4608)(torch.randn(2, 128, 5, 5))


def test_a_segmentation_without_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="n_classes=0"):
        SegmentationHead(16, 0)
