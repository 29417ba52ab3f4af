"""The modalities: each in a wing of its own, behind the contract of `medcl.modality.base`."""

import importlib
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any

from medcl.errors import MedclError

if TYPE_CHECKING:
    from medcl.modality.base import Wing

GROUP = "medcl.wings"
"""Of entry points, by which other installed packages add wings: each is named for its wing, and leads to the class."""
_WINGS = {
    "image": "medcl.modality.image:ImageWing",
    "volume": "medcl.modality.volume:VolumeWing",
    "signal": "medcl.modality.signal:SignalWing",
    "table": "medcl.modality.table:TableWing",
    "report": "medcl.modality.report:ReportWing",
}
_OWN = tuple(_WINGS)
for _point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
    if _point.name in _WINGS or not _point.name.isidentifier() or ":" not in _point.value:
        raise MedclError(
            f"the installed package {_point.dist.name if _point.dist else _point.value} adds a wing that does not fit: "
            f"an entry point of {GROUP} needs a name other than {', '.join(_WINGS)}, and leads to package:Class"
        )
    _WINGS[_point.name] = _point.value
_WINGS["report"] = _WINGS.pop("report")
WINGS = tuple(_WINGS)
"""Names of all wings, in the order in which they are listed; reports describe the others and come last."""
_made: dict[str, "Wing"] = {}


def plural(name: str) -> str:
    """What records are called: `images` for `image`; a name that is no wing's, such as of an input, as it is."""
    return wing(name).plural if name in WINGS else name


def wing(name: str) -> "Wing":
    """A modality's wing, imported when it is first asked for.

    Args:
        name: one of `WINGS`.
    """
    if name not in _made:
        _made[name] = getattr(room(name), _WINGS[name].partition(":")[2])()
    return _made[name]


def room(name: str, module: str = "") -> ModuleType:
    """A module of a wing's package, imported when it is first asked for.

    Args:
        name: of the wing.
        module: its name within the package; empty for the package itself.

    Raises:
        MedclError: the wing of another installed package cannot be loaded; names it.
    """
    package = _WINGS[name].partition(":")[0]
    try:
        return importlib.import_module(f"{package}.{module}" if module else package)
    except ImportError as error:
        if name in _OWN:
            raise
        raise MedclError(
            f"an installed package adds the wing {name}, but {package} cannot be loaded: {error}; mend or uninstall it"
        ) from error


def wing_of(config: Any) -> "Wing":
    """The wing whose samples a configuration describes.

    Args:
        config: a `SignalConfig`, a `VolumeConfig`, ...
    """
    return next(one for one in map(wing, WINGS) if isinstance(config, one.config))
