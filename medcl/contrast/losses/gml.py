"""GML: contrast as a classifier of classes, whose frequencies are taken out of it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, gather, mean, rows_before
from medcl.errors import UsageError


def class_scores(
    z: Tensor, keys: Tensor, key_labels: Tensor, temperature: Tensor, *, own: Tensor | None = None
) -> Tensor:
    """How near an embedding is to the keys of each class, S_c = log mean over keys k of class c of exp(z . k / T_c).

    Args:
        z: (N, D).
        keys: (M, D).
        key_labels: (M,) classes from 0; others count for none.
        temperature: (C,) of the classes, above 0.
        own: (N,) place of the key that is the embedding itself, which does not count.

    Returns:
        (N, C); -inf of a class without a key.
    """
    classes = len(temperature)
    classed = key_labels.clamp(0, classes - 1)
    place = classed.expand(len(z), -1)
    counted = ((key_labels >= 0) & (key_labels < classes)).expand(len(z), -1)
    if own is not None:
        counted = counted & (torch.arange(len(keys), device=z.device) != own[:, None])
    scores = F.normalize(z, dim=1) @ F.normalize(keys, dim=1).T / temperature[classed]
    # Not -inf, which has no derivative where a class has no key.
    scores = torch.where(counted, scores, torch.finfo(scores.dtype).min)
    lowest = scores.new_full((len(z), classes), torch.finfo(scores.dtype).min)
    highest = lowest.scatter_reduce(1, place, scores.detach(), "amax")
    parts = torch.where(counted, (scores - highest.gather(1, place)).exp(), 0.0)
    total, count = (scores.new_zeros(len(z), classes).scatter_add(1, place, one) for one in (parts, counted.to(scores)))
    return torch.where(count > 0, highest + torch.where(count > 0, total / count.clamp(min=1), 1.0).log(), -torch.inf)


def gml(
    z: Tensor,
    y: Tensor,
    prior: Tensor,
    temperature: Tensor,
    *,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    group: Group = None,
) -> Tensor:
    """Contrast of samples with all keys of a class at once, adjusted by how frequent the class is.

        mean_i CE(y_i, softmax over c of S_c(z_i) + log prior_c)
        S_c(z) = log mean over keys k of c of exp(z . k / T_c)

    once with the temperatures held fixed, which trains the embeddings, and once with the embeddings held fixed, which
    trains the temperatures; there a sample is no key of itself. From
    GML (Suh and Seo, Long-Tailed Recognition by Mutual Information Maximization between Latent Features and
    Ground-Truth Labels, ICML 2023). As in the released code, the first term counts a sample among its own keys.

    Args:
        z: (N, D) embeddings, which are keys themselves, of all processes.
        y: (N,) classes from 0; samples with a negative one do not count.
        prior: (C,) how frequent classes are, in any unit; a class of 0 is never right.
        temperature: (C,) of the classes, above 0.
        keys: (M, D) further keys.
        key_labels: (M,) their classes.
        group: processes that share the batch.

    Returns:
        Scalar; 0 where no sample has a class.

    Raises:
        UsageError: when shapes do not fit.
    """
    if prior.shape != temperature.shape or prior.ndim != 1:
        raise UsageError(f"prior and temperature are (C,), got {tuple(prior.shape)} and {tuple(temperature.shape)}")
    if y.shape != z.shape[:1] or (keys is None) != (key_labels is None):
        raise UsageError("each embedding and each key has a class")
    with no_autocast(z):
        z = accurate(z)
        every, labels = gather(z, group), gather(y, group)
        own = torch.arange(len(z), device=z.device) + rows_before(len(z), z, group)[0]
        if keys is not None and key_labels is not None:
            every, labels = torch.cat([every, keys.to(every)]), torch.cat([labels, key_labels])
        offset = prior.to(z).log()
        known = y >= 0
        features = class_scores(z, every, labels, temperature.detach().to(z))
        widths = class_scores(z.detach(), every.detach(), labels, temperature.to(z), own=own)
        target = y.clamp(min=0)[:, None]
        losses = z.new_zeros(len(z))
        for scores in (features, widths):
            # A class whose only key is the sample itself tells nothing of its temperature.
            counted = known & (scores.gather(1, target)[:, 0] != -torch.inf)
            logits = torch.where(counted[:, None], scores + offset, 0.0)
            found = logits.gather(1, target)[:, 0] - logits.logsumexp(dim=1)
            losses = losses - torch.where(counted, found, 0.0)
        return mean(losses.sum(), known.sum(dtype=losses.dtype), group)
