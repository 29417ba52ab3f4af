"""Losses within a sample, such as between the regions of one image: a block of samples at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors, by_rows, rows_at_once


def over_samples(
    formula: Callable[[Tensors], Tensor], tensors: Tensors, *, numbers: int, block: int | None = None
) -> Tensor:
    """Apply a formula to blocks of samples; what it needs in between is recomputed for the derivative.

    Args:
        formula: tensors (n, ...) of these samples to one line of numbers a sample (n, K).
        tensors: (N, ...) each.
        numbers: how many a sample needs in between, for the size of a block.
        block: samples at a time; default: from the memory that is free.

    Returns:
        (N, K).
    """
    if block is None and not torch.compiler.is_compiling():
        block = rows_at_once(numbers, tensors[0].device)
    nothing = tensors[0].new_zeros(1)
    return by_rows(lambda own, _: formula(own), lambda lines, *_: lines, tensors, (nothing,), block=block)
