"""Parts that are named by a dotted path, `package.module:name`: the user's own encoders, losses, views and formats."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, TypeVar

from medcl.errors import UsageError, did_you_mean

T = TypeVar("T")


def check_outside(path: str, folder: Path) -> None:
    """Refuse to import what lies in a folder of data, which may be another's.

    Nothing puts such a folder on Python's search path, but `python -m medcl` searches the working directory.

    Args:
        path: `package.module:name`.
        folder: of data.

    Raises:
        UsageError: the package would be found in the folder.
    """
    package = path.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(package) if package else None
    except (ImportError, ValueError):
        found = None
    places = [found.origin, *(found.submodule_search_locations or ())] if found else []
    if any(Path(one).resolve().is_relative_to(folder.resolve()) for one in places if one):
        raise UsageError(
            f"{path}: Python would import {package} from {folder}, a folder of data, which is not done: install the "
            "package, or call medcl from another directory"
        )


def resolve(path: str, what: str, kind: type[T] | None = None) -> Any:
    """Import what a dotted path names.

    Args:
        path: `package.module:name`, of a package that is installed or on PYTHONPATH. Nothing is ever imported from a
            run folder.
        what: it is, for messages: `encoder`, `loss`.
        kind: class that it has to be a subclass of, where it has to be one.

    Raises:
        UsageError: there is no such module or name, or it is of another kind.
    """
    module, colon, name = path.partition(":")
    if not colon or not module or not name.isidentifier():
        raise UsageError(f"{what} {path!r}: write package.module:name")
    try:
        holder = importlib.import_module(module)
    except ImportError as error:
        missing = error.name or module
        raise UsageError(
            f"{what} {path!r}: the module {missing} is not found: install its package, or set PYTHONPATH to its folder"
        ) from error
    if not hasattr(holder, name):
        near = did_you_mean(name, [one for one in vars(holder) if not one.startswith("_")])
        raise UsageError(f"{what} {path!r}: {module} has no {name!r}{near}")
    found = getattr(holder, name)
    if kind is not None and not (isinstance(found, type) and issubclass(found, kind)):
        raise UsageError(f"{what} {path!r}: is no subclass of {kind.__module__}.{kind.__qualname__}")
    return found
