"""Candidates from earlier batches (MoCo): a queue of embeddings, and the encoder that makes them."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.pairings.pairs import Pairing, itself, same
from medcl.errors import UsageError

Ids = Tensor | Mapping[str, Tensor]
"""int64 ids (N,) of each level; a tensor where there is one level."""


class MomentumQueue(nn.Module):
    """The embeddings of the last batches and whom they belong to, as further candidates.

    He et al., Momentum Contrast for Unsupervised Visual Representation Learning (CVPR 2020), with ids: a patient who
    was in an earlier batch is a positive or left out, and not a negative by accident.

        candidates, ids = queue.extend(keys, {"patient": patients})
        loss = info_nce(queries, candidates, same(patients, ids["patient"]))
        queue.enqueue(keys, {"patient": patients}, group)
        momentum_update(encoder, momentum_encoder, 0.999)

    With several processes either all enqueue with the group, hold the same queue and contrast with it without a group,
    as MoCo does; or all enqueue without, hold a queue each, and contrast with the group, which gathers the queues of
    all. With the group both times every entry would be a candidate once for each process.

    The state is in `state_dict`: a resumed run continues with the candidates it had.

    Attributes:
        embeddings: (size, dim).
        ids_LEVEL: (size,) int64, for each level.

    Example:
        >>> import torch
        >>> from medcl.contrast import MomentumQueue
        >>> queue = MomentumQueue(size=4, dim=2, levels=["patient"])
        >>> for patient in range(3):
        ...     queue.enqueue(torch.ones(2, 2), {"patient": torch.tensor([patient, patient])})
        ...
        >>> len(queue), sorted(queue.ids_patient.tolist())
        (4, [1, 1, 2, 2])
    """

    embeddings: Tensor

    def __init__(
        self, size: int, dim: int, levels: Sequence[str] = ("id",), dtype: torch.dtype = torch.float32
    ) -> None:
        """Start empty.

        Args:
            size: number of embeddings that are held; the oldest are replaced first.
            dim: of an embedding.
            levels: names of the ids that are held with them.
            dtype: of what is held.

        Raises:
            UsageError: when a number is below 1, and for no level or one given twice.
        """
        super().__init__()
        if size < 1 or dim < 1 or not levels or len(set(levels)) < len(levels):
            raise UsageError(f"a queue of 1 or more, with different levels, got {size} x {dim} and {list(levels)}")
        self.levels = tuple(levels)
        self.register_buffer("embeddings", torch.zeros(size, dim, dtype=dtype))
        for level in self.levels:
            self.register_buffer(f"ids_{level}", torch.zeros(size, dtype=torch.int64))
        # On the host: a number on the device would have to be waited for at every step.
        self._written = 0

    def __len__(self) -> int:
        """Number of embeddings that are held."""
        return min(self._written, len(self.embeddings))

    @torch.no_grad()
    def enqueue(self, z: Tensor, ids: Ids, group: Group = None) -> None:
        """Hold a batch, in the place of the oldest embeddings; of more than the size, the last ones.

        Args:
            z: (n, dim), of the momentum encoder.
            ids: (n,) int64 of each level.
            group: processes whose batches are all held, in all of them the same; these may differ in length.

        Raises:
            TypeError: when ids are not integers.
            UsageError: when shapes or levels do not fit.
        """
        named = self._named(z, ids)
        size = len(self.embeddings)
        rows = gather(z.detach().to(self.embeddings.dtype), group)
        count = len(rows)
        places = (torch.arange(max(0, count - size), count, device=rows.device) + self._written) % size
        self.embeddings[places] = rows[-size:]
        for level, own in named.items():
            self._of(level)[places] = gather(own, group)[-size:]
        self._written += count

    def extend(self, b: Tensor, ids: Ids) -> tuple[Tensor, dict[str, Tensor]]:
        """The candidates of a batch, followed by those that are held; places that are still empty are none.

        Args:
            b: (M, dim) candidates, whose derivative is kept.
            ids: (M,) int64 of each level.

        Returns:
            (M + held, dim) candidates, in the wider number format of both, and {level: (M + held,) int64}; copies,
            which later batches do not change.

        Raises:
            TypeError: when ids are not integers.
            UsageError: when shapes or levels do not fit.
        """
        named, held = self._named(b, ids), len(self)
        return (
            torch.cat([b, self.embeddings[:held]]),
            {level: torch.cat([own, self._of(level)[:held]]) for level, own in named.items()},
        )

    def own_key(self, queries: Tensor) -> Pairing:
        """Pair each query with its own key, against what is held; the other keys of the batch are left out, as in MoCo.

        For `extend` of keys in the order of the queries: `info_nce(queries, queue.extend(keys, ids)[0],
        queue.own_key(queries))`. Pair by ids instead where entries of the same patient must not be negatives.

        Args:
            queries: (N, dim) anchors.

        Returns:
            The pairing of N anchors with N + held candidates, of yes and no, for candidates of this process.
        """
        own = itself(queries, len(queries) + len(self))
        held = torch.zeros(len(queries) + len(self), dtype=torch.int64, device=queries.device)
        held[: len(queries)] = 1
        return own.among(own | same(held.new_zeros(len(queries)), held))

    def get_extra_state(self) -> Tensor:
        """Number of embeddings that were ever held; for `state_dict`."""
        return torch.tensor(self._written)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` returned."""
        self._written = int(state)

    def _named(self, z: Tensor, ids: Ids) -> dict[str, Tensor]:
        named = {self.levels[0]: ids} if isinstance(ids, Tensor) else dict(ids)
        if set(named) != set(self.levels):
            raise UsageError(f"the queue holds ids of {list(self.levels)}, got those of {sorted(named)}")
        if z.ndim != 2 or z.shape[1] != self.embeddings.shape[1]:
            raise UsageError(f"the queue holds embeddings (n, {self.embeddings.shape[1]}), got {tuple(z.shape)}")
        for level, own in named.items():
            if own.dtype != torch.int64:
                raise TypeError(f"{level} ids must be int64, got {own.dtype}")
            if own.shape != z.shape[:1]:
                raise UsageError(f"{level} ids must be of shape ({len(z)},), got {tuple(own.shape)}")
        return {level: named[level] for level in self.levels}

    def _of(self, level: str) -> Tensor:
        return self.get_buffer(f"ids_{level}")


def rising(momentum: float, taken: int, steps: int) -> float:
    """A momentum that rises to 1 over the steps, by half a cosine (BYOL)."""
    return 1 - (1 - momentum) * (math.cos(math.pi * min(1.0, taken / steps)) + 1) / 2


@torch.no_grad()
def momentum_update(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """Move the teacher towards the student: parameters become momentum teacher + (1 - momentum) student.

    Buffers, such as the statistics of batch normalisation, are copied.

    Args:
        student: that is trained.
        teacher: a copy of it, changed in place.
        momentum: from 0 (a copy) to 1 (stays as it is); 0.999 in MoCo.

    Raises:
        UsageError: when the momentum is out of its range, or the two differ in their parameters or buffers.
    """
    if not 0 <= momentum <= 1:
        raise UsageError(f"the momentum must be from 0 to 1, got {momentum}")
    for part in ("parameters", "buffers"):
        sides = [dict(getattr(module, f"named_{part}")()) for module in (student, teacher)]
        shapes = [{name: x.shape for name, x in side.items()} for side in sides]
        if shapes[0] != shapes[1]:
            raise UsageError(f"student and teacher differ in their {part}: the teacher must be a copy of the student")
        for name, of_student in sides[0].items():
            if part == "parameters":
                sides[1][name].lerp_(of_student, 1 - momentum)
            else:
                sides[1][name].copy_(of_student)
