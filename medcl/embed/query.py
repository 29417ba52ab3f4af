"""What is looked for by several examples: near some and far from others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.embed.vectors import Vectors, unit
from medcl.errors import UsageError


@dataclass(frozen=True)
class Query:
    """Sets of examples; each is given by texts or by ids of records.

    Args:
        texts: each is a set of its own: all of them are to apply.
        not_texts: each is a set of its own: none of them is to apply.
        near: ids of records, one set: examples of what is looked for.
        far: ids of records, one set: examples of what is not.
        weights: of the sets of what is looked for, the texts in their order, then the records; empty: 1 each.
    """

    texts: tuple[str, ...] = ()
    not_texts: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (self.texts or self.near):
            raise UsageError("give one of --text, --record and --near: the query")
        if not all(one.strip() for one in (*self.texts, *self.not_texts)):
            raise UsageError("--text is empty: write what to look for, such as 'left pleural effusion'")
        sets = len(self.texts) + bool(self.near)
        if self.weights and (len(self.weights) != sets or min(self.weights) < 0 or not any(self.weights)):
            raise UsageError(
                f"--weights {' '.join(f'{one:g}' for one in self.weights)}: one number from 0 on for each text that is "
                f"looked for, and one for the records where there are some: {sets} here"
            )
        for both, flags in (
            (set(self.texts) & set(self.not_texts), "--text and --not-text"),
            (set(self.near) & set(self.far), "--near and --far"),
        ):
            if both:
                raise UsageError(f"{flags}: {min(both)!r} is both what is looked for and what is not")

    @property
    def records(self) -> tuple[str, ...]:
        """Ids of all examples."""
        return (*self.near, *self.far)

    def __str__(self) -> str:
        parts = [f"{sign}{name}" for sign, some in (("", self.texts), ("not ", self.not_texts)) for name in some]
        parts += [f"{word} {', '.join(some)}" for word, some in (("near", self.near), ("far from", self.far)) if some]
        return parts[0].removeprefix("near ") if self.near and len(parts) == len(self.near) == 1 else "; ".join(parts)


def direction(
    near: Sequence[Vectors], far: Sequence[Vectors] = (), weights: Sequence[float] = ()
) -> NDArray[np.float32]:
    """The direction in which records lie that are near some sets of examples and far from others.

    With SIM(x, S) the mean cosine of a record x with the examples of a set S, records are ordered by

        sum over the sets S that are near of SIM(x, S) - sum over the sets S that are far of SIM(x, S)

    the series of operations of SetCSE (Liu, ICLR 2024), without its fine-tuning. The sum is linear in x, so that the
    order is that of the cosine with one vector, and any index of cosines answers it. Neither the order of the examples
    nor how many there are of a set matters.

    Args:
        near: sets (n, dim) of any length.
        far: likewise.
        weights: of the sets that are near, 1 each by default: 0.8 of an image and 0.2 of a text is the fusion retrieval
            of Haiku (2026), which the sum of weighted cosines is.

    Returns:
        (dim,) of length 1.

    Raises:
        UsageError: there is no set, or what is near and what is far cancel each other.
    """
    shares = weights or [1.0] * len(near)
    signed = [*zip(shares, near, strict=True), *((-1.0, one) for one in far)]
    if not signed:
        raise UsageError("a query needs examples")
    total = np.sum([sign * unit(one).mean(axis=0, dtype=np.float64) for sign, one in signed], axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise UsageError("what is looked for and what is not have the same embeddings: nothing is left to look for")
    found: NDArray[np.float32] = (total / length).astype(np.float32)
    return found
