"""The modalities: each in a wing of its own, behind the contract of `medcl.modality.base`."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcl.modality.base import Wing

_WINGS = {
    "image": "medcl.modality.image:ImageWing",
    "volume": "medcl.modality.volume:VolumeWing",
    "signal": "medcl.modality.signal:SignalWing",
    "table": "medcl.modality.table:TableWing",
    "report": "medcl.modality.report:ReportWing",
}
WINGS = tuple(_WINGS)
"""Names of all wings, in the order in which they are listed; reports describe the others and come last."""
_made: dict[str, "Wing"] = {}


def wing(name: str) -> "Wing":
    """A modality's wing, imported when it is first asked for.

    Args:
        name: one of `WINGS`.
    """
    if name not in _made:
        module, _, own = _WINGS[name].partition(":")
        _made[name] = getattr(importlib.import_module(module), own)()
    return _made[name]


def wing_of(config: Any) -> "Wing":
    """The wing whose samples a configuration describes.

    Args:
        config: a `SignalConfig`, a `VolumeConfig`, ...
    """
    return next(one for one in map(wing, WINGS) if isinstance(config, one.config))
