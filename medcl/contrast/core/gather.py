"""Candidates and means from all processes, and batches larger than memory, which are encoded in chunks."""

import warnings
from dataclasses import replace
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing
from medcl.errors import UsageError

Group = dist.ProcessGroup | None


def processes(group: Group) -> int:
    """Number of processes that share a loss; 1 without a group."""
    return 1 if group is None else dist.get_world_size(group)


def gather(x: Tensor, group: Group) -> Tensor:
    """The rows of all processes, in the order of their ranks.

    Batches may differ in length, and a process may have none. Integers stay integers. The derivative is reduced and
    scattered: every process gets the sum over all processes of what belongs to its own rows.

    Args:
        x: (n, ...) of this process; the other dimensions and the number format are the same in all.
        group: the processes; None, or a group of one, returns `x` as it is.

    Returns:
        (sum of n, ...).
    """
    if processes(group) == 1:
        return x
    # A process without rows has an empty tensor without an encoder: it is needed in the backward pass too.
    own = torch.tensor([len(x), int(x.requires_grad)], device=x.device)
    told = [torch.empty_like(own) for _ in range(processes(group))]
    dist.all_gather(told, own, group=group)
    counts, derive = zip(*(t.tolist() for t in told), strict=True)
    if any(derive) and not x.requires_grad:
        x = x.detach().requires_grad_()
    return cast(Tensor, _Gather.apply(x, tuple(counts), group))  # type: ignore[no-untyped-call]


def rows_before(count: int, like: Tensor, group: Group) -> tuple[int, int]:
    """How many samples the processes before this one have, and how many all have.

    Args:
        count: samples of this process.
        like: any tensor on its device.
        group: processes that share the batch.
    """
    if group is None:
        return 0, count
    counts = gather(torch.tensor([count], device=like.device), group)
    return int(counts[: dist.get_rank(group)].sum()), int(counts.sum())


def own_rows(n: int, copies: int, before: int, total: int) -> Tensor:
    """(copies * n,) which of the views of the batch of all processes are those of the samples of this one."""
    return (torch.arange(copies)[:, None] * total + before + torch.arange(n)).flatten()


def gathered(pairing: Pairing, group: Group) -> Pairing:
    """A pairing of this process's anchors with the candidates of all processes.

    Raises:
        UsageError: for a pairing that was given as a matrix, which cannot know them.
    """
    if processes(group) == 1:
        return pairing
    if pairing.local:
        raise UsageError(
            "pairs given as a matrix hold for one process: pair by ids, which are gathered with embeddings"
        )
    candidates: Tensors = tuple(gather(x, group) for x in pairing.candidates)
    return replace(pairing, candidates=candidates)


def mean(sums: Tensor, counts: Tensor, group: Group) -> Tensor:
    """Divide sums by counts, both over the anchors of all processes.

    Each process returns its own share times the number of processes, so that the mean over processes, which is what
    DistributedDataParallel takes of the gradients, is what one process with all anchors would return.

    Args:
        sums: of this process, any shape.
        counts: of this process, the same shape; no derivative.
        group: the processes.

    Returns:
        The shape of `sums`; 0 where nothing counts anywhere.
    """
    world = processes(group)
    if world > 1:
        counts = counts.detach().clone()
        dist.all_reduce(counts, group=group)
    # On a GPU nothing is asked, since every step would wait for the answer.
    if counts.device.type == "cpu" and not torch.compiler.is_compiling() and bool((counts == 0).all()):
        warnings.warn(
            "no anchor of this batch has a positive, so the loss is 0 and nothing is learned from it: draw batches in "
            "which records share the id that makes them positive",
            stacklevel=2,
        )
    return sums * world / torch.where(counts > 0, counts, 1.0)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: tuple[int, ...], group: dist.ProcessGroup) -> Tensor:
        ctx.counts, ctx.group = counts, group
        parts = [x.new_empty((max(counts), *x.shape[1:])) for _ in counts]
        dist.all_gather(parts, _padded(x, max(counts)), group=group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        longest = max(ctx.counts)
        parts = [_padded(part, longest) for part in torch.split(grad, ctx.counts)]
        own = torch.empty_like(parts[0])
        dist.reduce_scatter(own, parts, group=ctx.group)
        return own[: ctx.counts[dist.get_rank(ctx.group)]], None, None


def _padded(x: Tensor, length: int) -> Tensor:
    return torch.cat([x, x.new_zeros((length - len(x), *x.shape[1:]))]).contiguous()


def encode_in_chunks(encoder: nn.Module, *inputs: Tensor | None, chunk: int) -> Tensor:
    """Embed a batch so that its size is limited by the embeddings and not by the encoder's activations.

    The encoder sees `chunk` samples at a time and keeps nothing of them; the loss is taken of all embeddings; in its
    backward pass each chunk is encoded a second time, with the same random numbers, and differentiated. Value and
    gradient are those of the whole batch at once, for any loss and any number of encoders, for one more forward pass.
    This is GradCache (Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, RepL4NLP
    2021), written as checkpointing over the batch. Accumulating gradients over small batches is something else: each
    of them has only its own negatives.

        z1, z2 = encode_in_chunks(image_encoder, images, chunk=16), encode_in_chunks(text_encoder, tokens, chunk=64)
        clip(z1, z2, same(study)).backward()

    Args:
        encoder: of samples that do not depend on one another; dropout is drawn anew for each chunk.
        *inputs: (N, ...) each, or None, passed on as they are.
        chunk: samples at a time; N or more is a plain call.

    Returns:
        What the encoder returns for the whole batch, (N, ...).

    Raises:
        UsageError: for a chunk below 1, and for an encoder in training that has BatchNorm: its statistics would be
            those of a chunk.
    """
    if chunk < 1:
        raise UsageError(f"chunk {chunk}: at least one sample at a time")
    sizes = [len(x) for x in inputs if x is not None]
    if not sizes or len(set(sizes)) > 1:
        raise UsageError(f"inputs of one batch have one length, got {sizes}")
    if chunk >= sizes[0]:
        return _tensor(encoder(*inputs))
    found = [name for name, part in encoder.named_modules() if isinstance(part, _BatchNorm) and part.training]
    if found:
        raise UsageError(
            f"{found[0] or 'the encoder'} is a BatchNorm: in chunks it would normalise by the chunk, not the batch, "
            "and the result would depend on the chunk; use GroupNorm or LayerNorm, freeze it with .eval(), or encode "
            "the batch at once"
        )
    pieces = [torch.split(x, chunk) if x is not None else [None] * -(-sizes[0] // chunk) for x in inputs]
    return torch.cat([_tensor(checkpoint(encoder, *own, use_reentrant=False)) for own in zip(*pieces, strict=True)])


def _tensor(result: object) -> Tensor:
    if not isinstance(result, Tensor):
        raise UsageError(f"an encoder in chunks returns one tensor, got {type(result).__name__}")
    return result
