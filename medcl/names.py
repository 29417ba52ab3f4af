"""Parts that are named by a dotted path, `package.module:name`: the user's own encoders, losses, views and formats."""

import importlib
from typing import Any, TypeVar

from medcl.errors import UsageError, did_you_mean

T = TypeVar("T")


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
