"""The encoder's speed beside that of the same arithmetic as plain matrix products."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest
import torch
from torch import Tensor

from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import SignalEncoder, build
from medcl.modality.signal.encoders.networks import DilatedConvolution

BATCH, CHANNELS, STEPS, REPEATS = 64, 16, 256, 5


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compare on one core, so that neither side waits for a second one that another program is using."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def product_shapes(encoder: SignalEncoder) -> list[tuple[int, int]]:
    """(K, N) of every layer written as a product (rows, K) x (K, N), rows = batch x steps.

    A convolution whose dilation is at least the window's length has one tap that meets data, and counts as that.
    """
    shapes = []
    for layer in encoder.modules():
        if isinstance(layer, DilatedConvolution):
            taps = 3 if layer.dilation[0] < STEPS else 1
            shapes.append((taps * layer.in_channels, layer.out_channels))
        elif isinstance(layer, torch.nn.Linear):
            shapes.append((layer.in_features, layer.out_features))
    return shapes


def timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


@pytest.mark.benchmark
@pytest.mark.usefixtures("one_thread")
def test_encoder_reaches_half_of_the_throughput_of_plain_matrix_products() -> None:
    torch.manual_seed(0)
    encoder = build(SignalEncoderConfig(), CHANNELS)
    x = torch.randn(BATCH, CHANNELS, STEPS)
    keep = torch.rand(BATCH, STEPS) > 0.4
    gradient = torch.randn(BATCH, STEPS, encoder.config.dim)
    rows = BATCH * STEPS
    shapes = product_shapes(encoder)
    operands: list[tuple[Tensor, Tensor, Tensor]] = [
        (torch.randn(rows, k, requires_grad=True), torch.randn(k, n, requires_grad=True), torch.randn(rows, n))
        for k, n in shapes
    ]
    # The signal itself needs no gradient, in the encoder as here.
    operands[0][0].requires_grad_(False)

    def encode() -> None:
        encoder.zero_grad()
        encoder(x, keep).backward(gradient)

    def multiply() -> None:
        for a, b, out in operands:
            a.grad = b.grad = None
            torch.mm(a, b).backward(out)

    encode()
    multiply()
    pairs = [(timed(encode), timed(multiply)) for _ in range(REPEATS)]
    encoder_seconds, product_seconds = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(product / encoder for encoder, product in pairs)
    flops = sum(6 * rows * k * n for k, n in shapes)
    print(
        f"\n{flops / 1e9:.1f} GFLOP: encoder {flops / encoder_seconds / 1e9:.1f} GFLOP/s, "
        f"matrix products {flops / product_seconds / 1e9:.1f} GFLOP/s, ratio {ratio:.2f}"
    )
    assert ratio >= 0.5
