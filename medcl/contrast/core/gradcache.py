"""Batches larger than memory: all embeddings are contrasted at once, the encoder's activations are held for a few."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from medcl.errors import UsageError


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
