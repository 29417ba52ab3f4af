"""Losses of predicted times to an event: Cox partial likelihood and discrete-time logistic hazard."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Ties = Literal["efron", "breslow"]


def cox_loss(risk: Tensor, time: Tensor, event: Tensor, ties: Ties = "efron") -> Tensor:
    """Negative log partial likelihood of log hazard ratios, divided by the number of events (Cox 1972).

    The risk set of an event is all of the batch that is followed until then or longer: small batches bias it, which
    `CoxMemory` amends.

    Args:
        risk: (B,) log hazard ratios; a constant added to all changes nothing.
        time: (B,) of the event or of censoring.
        event: (B,) True or 1 where the event was observed.
        ties: events at one time: Efron's (1977) approximation, or Breslow's, that all are at risk until the last.

    Returns:
        A scalar; 0 with gradients of 0 where the batch holds no event.
    """
    order = torch.argsort(time, descending=True, stable=True)
    h, observed = risk[order], event[order].bool()
    if not observed.any():
        return risk.sum() * 0
    _, group, size = torch.unique_consecutive(time[order], return_inverse=True, return_counts=True)
    # The risk set of a time ends with the last record of that time.
    at_risk = torch.logcumsumexp(h, 0)[size.cumsum(0) - 1][group]
    terms = (h - at_risk)[observed]
    if ties == "efron":
        own = group[observed]
        number = torch.bincount(own, minlength=len(size)).to(h.dtype)
        # Share of the tied events in the sum over the risk set, at most 1, so that no large exponential is taken.
        share = torch.zeros_like(number).index_add(0, own, terms.exp())
        rank = torch.arange(len(own), device=h.device) - (number.cumsum(0) - number)[own]
        terms = terms - torch.log1p(-rank / number[own] * share[own])
    return -terms.mean()


class CoxMemory:
    """The Cox loss of a batch among the records of earlier batches: a memory of risks, as MoCo has a queue of keys.

    The newest `size` records keep the risks that were predicted then, without a derivative, and count with their
    events: what is learned of a record of the batch is what the whole cohort would teach of it,

        d loss / d h_j = (n / B) / n_events * ( sum over events i with T_i <= T_j of exp(h_j) / S_i  -  d_j )

    with n records in memory and batch, B in the batch, and S_i the sum over the risk set. With risks of earlier batches
    in the risk sets alone, nothing would push these down, and the gradient is further from that of the cohort than
    without. torchsurv's momentum loss keeps risks of a slowly following copy of the network in their place.

    A record that comes again is there twice: the memory should hold fewer than there are training records.

    Args:
        size: number of records that are kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: tuple[Tensor, ...] = ()

    def __call__(self, risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
        """The loss of a batch (B,) and what is kept, with a derivative by the batch; the batch is kept then."""
        new = (risk, time, event.bool())
        every = tuple(map(torch.cat, zip(new, self._kept, strict=True))) if self._kept else new
        loss = cox_loss(every[0], every[1], every[2])
        self._kept = tuple(one[: self.size].detach() for one in every)
        return loss.detach() + len(every[0]) / max(len(risk), 1) * (loss - loss.detach())


def hazard_cuts(time: ArrayLike, event: ArrayLike, intervals: int) -> NDArray[np.float64]:
    """Ends of the intervals of the discrete-time model, (K,) ascending: quantiles of the times of training events.

    The first interval begins at 0; the last ends at the last event. K is less than `intervals` where there are fewer
    distinct event times.
    """
    times = np.asarray(time, dtype=np.float64)[np.asarray(event).astype(bool)]
    if not len(times):
        return np.zeros(0)
    return np.unique(np.quantile(times, np.arange(1, intervals + 1) / intervals, method="inverted_cdf"))


def logistic_hazard_loss(logits: Tensor, time: Tensor, event: Tensor, cuts: Tensor) -> Tensor:
    """Negative log likelihood of the hazards of intervals, mean over records (Gensheimer and Narasimhan 2019).

    A record with an event in an interval (cut before, cut] counts until and with that interval; a censored one, or one
    with an event after the last cut, counts in the intervals that it survived completely.

    Args:
        logits: (B, K) of the probability of an event in each interval, given none before.
        time: (B,) of the event or of censoring.
        event: (B,) True or 1 where the event was observed.
        cuts: (K,) ends of the intervals, from `hazard_cuts`.
    """
    last = torch.searchsorted(cuts, time.contiguous())  # the interval of an event
    numbers = torch.arange(logits.shape[1], device=logits.device)
    ends = (numbers == last[:, None]) & event.bool()[:, None]
    counted = (cuts <= time[:, None]) | ends
    losses = F.binary_cross_entropy_with_logits(logits, ends.to(logits.dtype), reduction="none")
    return (losses * counted).sum(1).mean()


def survival_of(logits: Tensor) -> Tensor:
    """Probability of no event until the end of each interval, (B, K), of logits (B, K): product of 1 - hazard."""
    return F.logsigmoid(-logits).cumsum(1).exp()
