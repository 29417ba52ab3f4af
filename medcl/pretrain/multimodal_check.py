"""Recipes of several modalities that are invalid, refused before anything is read."""

from medcl.errors import UsageError
from medcl.modality import wing
from medcl.pretrain.multimodal_config import MultimodalPretrainConfig, Side


def check(config: MultimodalPretrainConfig) -> None:
    """Refuse an invalid recipe.

    Raises:
        UsageError: with the field and its value.
    """
    _check_method(config)
    for kind, side in config.sides.items():
        _check_side(kind, side)
    own, batch = config.joint, config.batch
    if batch.patients < 2 or batch.records < 1:
        raise UsageError(
            f"batch: patients must be at least 2, for other patients are the negatives, and records at least 1, got "
            f"{batch.patients}, {batch.records}"
        )
    for name, value, low, high in (
        ("weight", own.weight, 0, 1),
        ("momentum", own.momentum, 0, 1),
        ("distillation", own.distillation, 0, 0.99),
        ("dropout", own.dropout, 0, 0.99),
    ):
        if not low <= value <= high:
            raise UsageError(f"joint.{name}: {value:g} is not from {low} to {high}")
    if not own.temperature > 0:
        raise UsageError(f"joint.temperature: {own.temperature:g} is not above 0")
    if min(own.projection, own.width) < 1 or min(own.hidden, own.queue, own.local) < 0:
        raise UsageError("joint: projection and width must be at least 1, hidden, queue and local not below 0")


def _check_method(config: MultimodalPretrainConfig) -> None:
    kinds, own = tuple(config.sides), config.joint
    there = ", ".join(kinds) or "none"
    if config.method == "simclr":
        if len(kinds) != 1 or kinds == ("report",):
            raise UsageError(f"method simclr takes one of image, volume, signal; the recipe has {there}")
        given = [name for name in ("local", "queue", "distillation") if getattr(own, name)]
        if given or own.loss != "clip":
            raise UsageError(f"joint: method simclr has no {', '.join(given) or 'loss but clip'}; leave it out")
        return
    if config.method == "convirt" and len(kinds) != 2:
        raise UsageError(f"method convirt takes two of image, volume, signal, report; the recipe has {there}")
    if len(kinds) < 2:
        raise UsageError(
            f"method multimodal takes two or more of image, volume, signal, report; the recipe has {there}"
        )
    if config.method == "convirt" and own.loss not in ("clip", "siglip"):
        raise UsageError(f"joint.loss: {own.loss} is one of method multimodal; convirt takes clip or siglip")
    if own.loss == "anchored" and own.anchor not in kinds:
        raise UsageError(f"joint.anchor: {own.anchor} is not in the recipe, which has {there}")
    if own.loss == "symile" and config.batch.records > 1:
        raise UsageError("batch.records: symile takes 1, for its negatives are not to be of the same patient")
    if (own.queue or own.distillation) and own.loss not in ("clip", "anchored"):
        raise UsageError(f"joint.queue and joint.distillation: with clip and anchored only, not with {own.loss}")
    if own.local and (own.loss == "symile" or "report" not in kinds):
        raise UsageError(
            "joint.local: compares words with cells two by two; it takes reports, and another loss than symile"
        )


def _check_side(kind: str, side: Side) -> None:
    own = wing(kind)
    if side.locked and not side.init and not own.is_published(side.encoder):
        raise UsageError(f"{kind}.locked: an encoder with random weights would never learn; set {kind}.init")
    try:
        own.check(side.data, side.encoder)
    except UsageError as error:
        where = f"{kind}." if str(error).startswith(("encoder.", "data.")) else ""
        raise UsageError(f"{where}{error}") from error
