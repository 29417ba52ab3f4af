"""What the functions of the commands take: paths, or the objects that other functions return."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeAlias, TypeVar, get_args, get_origin

from medcl.errors import UsageError, no_such

if TYPE_CHECKING:
    from medcl.archive.manifest import Manifest
    from medcl.commands.result import Result
    from medcl.embed.embeddings import EmbeddingsFile

    PathSource: TypeAlias = str | Path | Result[Any]
    ManifestSource: TypeAlias = str | Path | Result[Any] | Manifest
    EmbeddingsSource: TypeAlias = str | Path | Result[Any] | EmbeddingsFile
else:
    # On the command line all of them are paths.
    PathSource = ManifestSource = EmbeddingsSource = Path

Column = Annotated[str, "COLUMN"]
KindName = Literal["image", "volume", "signal", "table", "report"]
T = TypeVar("T")
P = ParamSpec("P")


def one_or_many(command: Callable[P, T]) -> Callable[P, T]:
    """Let a single value stand for a sequence of one: `medcl.reduce(..., by="hash")`."""
    several = {name for name, one in signature(command).parameters.items() if _is_several(one.annotation)}

    @wraps(command)
    def call(*values: P.args, **settings: P.kwargs) -> T:
        given = signature(command).bind(*values, **settings)
        for name in several & given.arguments.keys():
            given.arguments[name] = _several(given.arguments[name])
        return command(*given.args, **given.kwargs)

    return call


def manifest_and_store(source: "ManifestSource", store: "PathSource | None" = None) -> "tuple[Manifest, Path]":
    """A manifest, and the folder of its prepared records.

    Args:
        source: the manifest, or its path.
        store: the folder; default: beside the file of the manifest, with its name.

    Raises:
        UsageError: the file is no manifest, or a manifest in memory comes without a folder.
    """
    from medcl.archive.manifest import Manifest

    if isinstance(source, Manifest):
        if store is None:
            raise UsageError(
                "a manifest in memory has no folder of prepared records: give store=, or the path of its file"
            )
        return source, Path(store)
    path = Path(source)
    return Manifest.read(path), path.with_suffix(".store") if store is None else Path(store)


def config_of(kind: type[T], settings: Mapping[str, Any], **own: Any) -> T:
    """A configuration from settings by name.

    Args:
        kind: dataclass of the configuration.
        settings: as the user gave them.
        own: fields that come from elsewhere.

    Raises:
        UsageError: there is no such setting; names the nearest one.
    """
    known = {one.name: one.type for one in fields(kind) if one.name not in own}  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            raise UsageError(no_such("setting", name, list(known)))
    several = {name: _several(value) for name, value in settings.items() if _is_several(known[name])}
    return kind(**own, **{**settings, **several})


def _is_several(hint: Any) -> bool:
    """Whether a parameter takes any number of values."""
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(hint) in (Sequence, list) or (get_origin(hint) is tuple and Ellipsis in get_args(hint))


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str | PathLike | int | float) else value
