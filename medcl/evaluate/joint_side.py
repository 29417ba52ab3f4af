"""The one side of a joint encoder that labels can be learned with."""

from dataclasses import replace
from typing import Any

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.errors import UsageError
from medcl.evaluate.task import Task
from medcl.modality.spec import Card, JointCard
from medcl.runs import Run

ORDER: tuple[Kind, ...] = ("image", "volume", "signal")


def choose(card: Card, manifest: Manifest, target: str) -> Kind | None:
    """The side whose records carry a target: pictures before volumes before recordings.

    Args:
        card: of the run.
        manifest: readable records of all kinds.
        target: one of its targets.

    Returns:
        The kind; None where the run has one modality only.

    Raises:
        UsageError: no side of the run takes records that carry the target.
    """
    if not isinstance(card, JointCard):
        return None
    labelled = set(manifest.kinds[Task.of(manifest, target).labelled])
    for kind in ORDER:
        if kind in card.sides and kind in labelled:
            return kind
    raise UsageError(
        f"--target {target}: records of kind {', '.join(sorted(labelled)) or '(none)'} carry it, and the run has "
        f"encoders of {', '.join(card.sides)}"
    )


def only(run: Run[Any, Any], kind: Kind | None) -> Run[Any, Any]:
    """The run as one of a single modality: the side's card and encoder, without its projection."""
    if kind is None:
        return run
    return replace(run, card=run.card.sides[kind], encoder=run.encoder.side(kind))
