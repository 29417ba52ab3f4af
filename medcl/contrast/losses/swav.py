"""Predict from one crop the prototypes that another crop is assigned to (SwAV)."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, mean, processes
from medcl.errors import UsageError


def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3, group: Group = None) -> Tensor:
    """Assign samples to prototypes so that all prototypes are used alike.

    Q is proportional to exp(scores / epsilon), scaled in turns so that each prototype has the same share of all samples
    and each sample sums to 1 (Sinkhorn and Knopp, 1967; Cuturi, NeurIPS 2013), the samples last. In logarithms, so that
    no scale of the scores overflows. Without derivative.

    Args:
        scores: (B, K) similarities of this process's samples with the prototypes.
        epsilon: above 0; smaller ones make assignments harder.
        iterations: 1 or more.
        group: processes whose samples share the prototypes; default: this process alone.

    Returns:
        (B, K), rows sum to 1.

    Raises:
        UsageError: for another shape, an epsilon that is not above 0 or no iteration.
    """
    if scores.ndim != 2 or not epsilon > 0 or iterations < 1:
        raise UsageError(
            f"sinkhorn takes scores (samples, prototypes), an epsilon above 0 and 1 iteration or more; "
            f"got {tuple(scores.shape)}, {epsilon} and {iterations}"
        )
    with torch.no_grad(), no_autocast(scores):
        logs = accurate(scores.detach()) / epsilon
        for _ in range(iterations):
            logs = logs - _logsumexp_of_all(logs, group)
            logs = logs.log_softmax(dim=1)
        return logs.exp()


def swav(
    scores: Sequence[Tensor],
    *,
    assign: Sequence[int] = (0, 1),
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    queue: Sequence[Tensor] = (),
    group: Group = None,
) -> Tensor:
    """Swapped assignment over crops.

        L = mean over crops s in `assign` of the mean over all other crops t of
            -1/B sum_i sum_k q_s(i, k) log softmax_k( scores_t(i) / temperature )

    with q_s = `sinkhorn(scores_s)`. Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments (NeurIPS 2020). The scores are cosines of embeddings and prototypes: unit vectors times a linear layer
    without bias whose rows are brought to length 1 before each step. The released code also leaves the prototypes as
    they are in the first steps, and puts scores of earlier batches before those of a small one: pass these as `queue`.

    Nothing is contrasted pairwise, so that two slices of a patient may well share a prototype; but prototypes are used
    alike, which misleads where one finding dominates: then take fewer of them, or a larger epsilon. The temperature
    should be above epsilon, so that assignments are sharper than predictions; lower ones make the prediction harder.

    Args:
        scores: (B, K) of each crop, in the order of the crops; the large ones first by custom.
        assign: which crops are assigned: the large ones.
        temperature: of the predictions, above 0.
        epsilon: as in `sinkhorn`.
        iterations: as in `sinkhorn`.
        queue: (Q, K) scores of earlier samples, one tensor for each crop of `assign`: assigned along, not predicted.
        group: processes whose samples are assigned together; see `sinkhorn`. As with `Scale`, the mean over processes
            of loss and gradient is that of one process with all samples.

    Returns:
        Scalar, at least float32.

    Raises:
        UsageError: for fewer than two crops, crops of different shape, an unknown one in `assign`, a queue for
            other crops, or a temperature that is not above 0.
    """
    shapes = {tuple(x.shape) for x in scores}
    if len(scores) < 2 or len(shapes) != 1 or not temperature > 0:
        raise UsageError(f"swav takes scores of two or more crops and a temperature above 0, got shapes {shapes}")
    if not assign or not all(0 <= s < len(scores) for s in assign) or len(queue) not in (0, len(assign)):
        raise UsageError(f"swav assigns crops of 0 to {len(scores) - 1} and has a queue for each or none, got {assign}")
    batch = len(scores[0])
    with no_autocast(scores[0]):
        predictions = [F.log_softmax(accurate(x) / temperature, dim=1) for x in scores]
        losses = []
        for place, s in enumerate(assign):
            before = queue[place].to(scores[s]) if queue else scores[s][:0]
            targets = sinkhorn(torch.cat([before, scores[s]]), epsilon, iterations, group)[len(before) :]
            losses += [-(targets * predictions[t]).sum() for t in range(len(scores)) if t != s]
        total = torch.stack(losses).mean()
        return mean(total, torch.full_like(total, batch), group)


def _logsumexp_of_all(logs: Tensor, group: Group) -> Tensor:
    """Log-sum-exp (K,) over the samples (B, K) of all processes."""
    if processes(group) == 1:
        return logs.logsumexp(dim=0)
    # A process may have no sample: its maximum is -inf, which no other one is.
    highest = logs.amax(dim=0) if len(logs) else torch.full_like(logs.sum(dim=0), -torch.inf)
    dist.all_reduce(highest, dist.ReduceOp.MAX, group=group)
    sums = (logs - highest).exp().sum(dim=0)
    dist.all_reduce(sums, group=group)
    return highest + sums.log()
