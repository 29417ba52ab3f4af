"""Dataset condensation: a few synthetic images a class whose gradients are those of the real ones (DC, DCC)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medcl.engine.progress import watched
from medcl.reduce.config import DEPTH, CondenseConfig

_EPS = 1e-6
_UPDATES, _PART = 150, 64  # of a network that is measured: steps, and images of one


def network(channels: int, n_classes: int, size: Sequence[int], width: int) -> nn.Sequential:
    """The ConvNet of DC: three blocks of convolution, instance norm, ReLU and mean-pooling, and a linear layer."""
    layers: list[nn.Module] = []
    for before in (channels, *[width] * (DEPTH - 1)):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.GroupNorm(width, width), nn.ReLU(), nn.AvgPool2d(2)]
    cells = (size[0] >> DEPTH) * (size[1] >> DEPTH)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * cells, n_classes))


def distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Of two gradients of a network: sum over layers and their output rows of 1 - cosine; biases are left out."""
    rows = [(a.flatten(1), b.flatten(1)) for a, b in zip(one, other, strict=True) if a.ndim > 1]
    apart = [1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + _EPS) for a, b in rows]
    return torch.cat(apart).sum()


def mismatch(synthetic: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]], contrastive: bool) -> Tensor:
    """How far the gradients of synthetic images are from those of real ones, each given class by class.

    DC (Zhao, Mopuri and Bilen, Dataset Condensation with Gradient Matching, ICLR 2021): sum over classes of the
    distance. Contrastive signals (DCC, Lee et al., ICML 2022): the distance of the sums over classes, in which what all
    classes have in common cancels and what tells them apart stays.
    """
    if contrastive:
        first, second = ([torch.stack(parts).sum(0) for parts in zip(*each, strict=True)] for each in (synthetic, real))
        return distance(first, second)
    return torch.stack([distance(a, b) for a, b in zip(synthetic, real, strict=True)]).sum()


def condense(x: Tensor, labels: Tensor, n_classes: int, config: CondenseConfig) -> Tensor:
    """Make synthetic images.

    Args:
        x: (N, C, rows, columns) real images, standardised.
        labels: (N,) their classes, each with at least one image.
        n_classes: K.
        config: how.

    Returns:
        (K, per_class, C, rows, columns), within the range of the real ones.
    """
    own = [torch.nonzero(labels == number)[:, 0] for number in range(n_classes)]
    low, high = float(x.min()), float(x.max())
    generator = torch.Generator().manual_seed(config.seed)
    made = torch.stack([_begun(x[one], config, generator) for one in own]).clamp_(low, high).requires_grad_()
    optimiser = torch.optim.Adam([made], lr=config.learning_rate)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        for step in watched(range(config.steps), "condense", "step", config.steps):
            net = network(x.shape[1], n_classes, x.shape[2:], config.width)
            real = [_gradient(net, x[_drawn(one, config.batch, generator)], k, False) for k, one in enumerate(own)]
            synthetic = [_gradient(net, made[number], number, True) for number in range(n_classes)]
            loss = mismatch(synthetic, real, contrastive=step >= config.warmup * config.steps)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                made.clamp_(low, high)
    return made.detach()


def _begun(x: Tensor, config: CondenseConfig, generator: torch.Generator) -> Tensor:
    """(per_class, ...) what the synthetic images of the images of a class begin as."""
    if config.begin == "noise":
        return torch.randn(config.per_class, *x.shape[1:], generator=generator)
    return x[_drawn(torch.arange(len(x)), config.per_class, generator)]


def _drawn(numbers: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Some of them, each once where there are enough."""
    rounds = -(-count // len(numbers))
    order = torch.cat([torch.randperm(len(numbers), generator=generator) for _ in range(rounds)])
    return numbers[order[:count]]


def _gradient(net: nn.Module, x: Tensor, number: int, differentiable: bool) -> tuple[Tensor, ...]:
    loss = F.cross_entropy(net(x), torch.full((len(x),), number))
    return torch.autograd.grad(loss, list(net.parameters()), create_graph=differentiable)


def accuracy(x: Tensor, labels: Tensor, test: Tensor, truth: Tensor, n_classes: int, config: CondenseConfig) -> float:
    """Balanced accuracy on other images of networks that are trained on some images alone, mean over random weights.

    Args:
        x: (N, C, rows, columns) that are trained on.
        labels: (N,) their classes.
        test: (M, C, rows, columns) that are tested on.
        truth: (M,) their classes.
        n_classes: K.
        config: of the networks, and their number.
    """
    found = []
    with torch.random.fork_rng(devices=[]):
        for number in range(config.networks):
            torch.manual_seed(config.seed + number)
            net = network(x.shape[1], n_classes, x.shape[2:], config.width)
            optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
            for _ in range(_UPDATES):
                part = torch.randint(len(x), (_PART,)) if len(x) > _PART else slice(None)
                optimiser.zero_grad()
                F.cross_entropy(net(x[part]), labels[part]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            with torch.no_grad():
                parts = [net(test[i : i + _PART]).argmax(1) for i in range(0, len(test), _PART)]
            right = (torch.cat(parts) == truth).numpy()
            found.append(np.mean([right[truth.numpy() == number].mean() for number in sorted(set(truth.tolist()))]))
    return float(np.mean(found))
