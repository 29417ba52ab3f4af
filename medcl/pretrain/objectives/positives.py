"""Who is positive for whom, from a recipe's words: a level, the item itself, labels, values, positions, neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medcl.contrast.core.gather import Group, gather, rows_before
from medcl.contrast.pairings.neighbours import alike, nearest, soft
from medcl.contrast.pairings.pairs import Pairing, itself, mixture, same
from medcl.contrast.pairings.slices import across_volumes, partition
from medcl.contrast.pairings.survival import event_times
from medcl.contrast.pairings.targets import kernel, near, overlap
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.pretrain.objectives.contrast_config import ContrastConfig

ITEM, TEXT, POSITION, PARTITION, NEIGHBOURS = "item", "text", "position", "partition", "neighbours"
PLACE = "place"
"""Of a sample in the batch: the id of its own key among those of a queue."""
EARLIER = -1
"""The place of what comes from an earlier batch."""
LABEL, VALUE, SOFT, ALIKE = "label:", "value:", "soft:", "alike:"
SURVIVAL = "survival:"
OVERLAP = "overlap:"
"""Before columns of labels, with a slash between them."""
CLASSES = "classes:"
"""Before a column and classes of it, see `places`."""
IN_BATCH = (ITEM, TEXT, POSITION, PARTITION, NEIGHBOURS)
"""What a batch tells by itself."""
WORDS = (
    ITEM,
    TEXT,
    POSITION,
    PARTITION,
    NEIGHBOURS,
    f"{LABEL}COLUMN",
    f"{VALUE}COLUMN",
    f"{OVERLAP}COLUMN/COLUMN",
    f"{SURVIVAL}TIME/EVENT=VALUE",
    f"{SOFT}INPUT",
    f"{ALIKE}INPUT",
    "a level",
)


@dataclass(frozen=True)
class Side:
    """Anchors or candidates.

    Args:
        ids: {name: (n,)} ids and values of the samples of this process, {name: (n, K)} which labels they have.
        blocks: views of each.
        n: samples.
        names: of the inputs on this side.
        raw: (n, ...) the samples as they are, for neighbours.
        frozen: {input: (n, dim)} embeddings of frozen inputs.
    """

    ids: Mapping[str, Tensor]
    blocks: int
    n: int
    names: tuple[str, ...]
    raw: Tensor | None = None
    frozen: Mapping[str, Tensor] | None = None

    def of(self, name: str) -> Tensor:
        """(blocks * n, ...) ids, values or labels."""
        own = self.ids[name]
        return own.repeat(self.blocks, *[1] * (own.ndim - 1))


def pair(rules: "ContrastConfig", a: Side, b: Side | None, group: Group) -> Pairing:
    """The pairing of anchors with candidates.

    Args:
        rules: settings that say who is positive, who is left out and who is compared.
        a: anchors.
        b: candidates; None: the anchors, and no view is compared with itself.
        group: processes that share the batch.
    """
    parts = {word: _positive(word, rules, a, b, group) for word in rules.words}
    pairing = next(iter(parts.values())) if len(parts) == 1 else mixture(parts, rules.words)
    if b is None:
        pairing = pairing.without(itself(a.of(next(iter(a.ids)))))
    for level in rules.exclude:
        pairing = pairing.without(_level(level, rules, a, b).but(pairing))
    return pairing.among(_level(rules.within, rules, a, b)) if rules.within else pairing


def _level(word: str, rules: "ContrastConfig", a: Side, b: Side | None) -> Pairing:
    """Pairs that share a level."""
    if word == PARTITION:
        own = [partition(side.of(POSITION), rules.parts) for side in (a, b) if side is not None]
        return same(*own)
    if word.startswith(ALIKE):
        name, other = word.removeprefix(ALIKE), a if b is None else b
        assert a.frozen is not None
        assert other.frozen is not None
        of_a, of_b = a.frozen[name].repeat(a.blocks, 1), other.frozen[name].repeat(other.blocks, 1)
        return alike(of_a, of_b, above=rules.above)
    return same(*(side.of(word) for side in (a, b) if side is not None))


def _positive(word: str, rules: "ContrastConfig", a: Side, b: Side | None, group: Group) -> Pairing:
    other = a if b is None else b
    if word == ITEM and b is None:
        return _item(a)
    if word == ITEM:
        return _own_key(a, other) if PLACE in a.ids else linked(a, other)
    if word == PARTITION:
        return _partition(rules, a)
    if word.startswith((VALUE, POSITION)):
        if rules.bandwidth:
            return kernel(a.of(word), other.of(word), bandwidth=rules.bandwidth)
        return near(a.of(word), other.of(word), within=rules.width)
    if word.startswith(OVERLAP):
        return overlap(a.of(word), other.of(word))
    if word.startswith(SURVIVAL):
        own = next(name for name in ("slice", "sample", ITEM) if name in a.ids)
        sides = [tuple(side.of(name) for name in (*survival(word), own)) for side in (a, other)]
        return event_times(*sides[0], *sides[1], bandwidth=rules.bandwidth)
    if word == NEIGHBOURS:
        # Of each sample the most similar one in the batch, as it was measured, is its second view.
        assert a.raw is not None
        before, _ = rows_before(a.n, a.raw, group)
        everyone = gather(a.raw.flatten(1).float(), group)
        groups = nearest(everyone, torch.zeros(len(everyone), dtype=torch.int64, device=a.raw.device))
        return same(groups[before : before + a.n].repeat(a.blocks))
    if word.startswith(SOFT):
        name = word.removeprefix(SOFT)
        assert a.frozen is not None
        assert other.frozen is not None
        return soft(a.frozen[name].repeat(a.blocks, 1), other.frozen[name].repeat(other.blocks, 1))
    return _level(word, rules, a, b)


def _item(side: Side) -> Pairing:
    """Views of one sample; another draw of the same slice is left out."""
    if ITEM in side.ids:
        return same(side.of(ITEM))
    if "slice" in side.ids:
        views = same(_places(side))
        return views.without(same(side.of("slice")).but(views))
    return same(side.of("sample"))


def _own_key(a: Side, b: Side) -> Pairing:
    """The key of the same sample; other keys of its slice or record, of this batch or an earlier one, are left out."""
    finest = next(name for name in ("slice", "sample", ITEM) if name in a.ids)
    own = same(a.of(PLACE), b.of(PLACE))
    return own.without(same(a.of(finest), b.of(finest)).but(own))


def _partition(rules: "ContrastConfig", side: Side) -> Pairing:
    """G^D of Chaitanya et al.: besides views of a slice, the same view of slices of its part of other volumes."""
    slices = _places(side)
    view = torch.arange(side.blocks, device=slices.device).repeat_interleave(side.n)
    return across_volumes(slices, partition(side.of(POSITION), rules.parts), view, side.of("volume"))


def _places(side: Side) -> Tensor:
    """(blocks * n,) ids of samples, whatever they show; other ones in other processes."""
    return itself(side.ids["slice"]).anchors[0].repeat(side.blocks)


def linked(a: Side, b: Side) -> Pairing:
    """Records that were drawn together, are the same record, or have the same text."""
    names = [ITEM, *a.names, *b.names, *([TEXT] if TEXT in a.ids else [])]
    # Samples of the same records, by two encoders, have no partners but themselves.
    names = [name for name in dict.fromkeys(names) if name in a.ids] or ["sample"]
    return reduce(or_, (same(a.of(name), b.of(name)) for name in names))


def check_words(where: str, words: Mapping[str, float]) -> None:
    """Refuse shares that are not above zero.

    Raises:
        UsageError: with the word.
    """
    for word, share in words.items():
        if not share > 0:
            raise UsageError(f"{where}.positives: the share of {word} is {share:g}; leave out what does not count")
    if not words:
        raise UsageError(f"{where}.positives: none; name at least one of {', '.join(WORDS)}")


def survival(word: str) -> tuple[str, str]:
    """The words by which time and event of `survival:TIME/EVENT=VALUE` are looked up."""
    time, _, event = word.removeprefix(SURVIVAL).partition("/")
    return f"{VALUE}{time}", f"{LABEL}{event}"


def places(column: str, classes: Sequence[str]) -> str:
    """The word by which a record's place among some classes of a column is looked up; -1 where it is of none.

    The places are those of the list, whichever of the classes an archive has: those of another one are the same.
    """
    return f"{CLASSES}{column}=" + "\n".join(classes)
