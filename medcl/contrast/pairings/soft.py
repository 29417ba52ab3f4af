"""Soft positives from the similarities of a model that is not trained, or is trained along."""

from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.vectors import accurate, no_autocast
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.errors import UsageError


def soft(frozen_a: Tensor, frozen_b: Tensor | None = None) -> Pairing:
    """Positive by the weight (cos(frozen_a, frozen_b) + 1) / 2.

    Args:
        frozen_a: (N, E) embeddings of the anchors by a model that is not trained; no derivative is taken.
        frozen_b: (M, E) those of the candidates by the same model; default: the same ones.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when shapes do not fit.
    """
    a, b = _units(frozen_a.detach(), None if frozen_b is None else frozen_b.detach())

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks((anchors[0] @ candidates[0].T).add(1).div(2).clamp(0, 1))

    return Pairing(rule, (a,), (b,), soft=True)


def softened(target_a: Tensor, target_b: Tensor | None = None, *, temperature: float) -> Pairing:
    """Positive by the softmax over the candidates of cos(target_a, target_b) / temperature.

    The weights of an anchor add up to 1, over the candidates of all processes. They have a derivative where the targets
    have one; detach them if they are to teach only. Pairs that are left out (`without`) stay in the softmax.

    Args:
        target_a: (N, E) embeddings of the anchors by the model that teaches.
        target_b: (M, E) those of the candidates; default: the same ones.
        temperature: above 0; the lower, the nearer to one positive an anchor.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when shapes do not fit or the temperature is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, got {temperature}")
    a, b = _units(target_a, target_b)

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks((anchors[0] @ candidates[0].T / temperature).softmax(dim=1))

    return Pairing(rule, (a,), (b,), soft=True)


def _units(a: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    b = a if b is None else b
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UsageError(f"embeddings of one model must be (N, E) and (M, E), got {a.shape} and {b.shape}")
    with no_autocast(a):
        return F.normalize(accurate(a), dim=1), F.normalize(accurate(b), dim=1)
