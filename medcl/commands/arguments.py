"""What the functions of the commands take: paths, or the objects that other functions return."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from medcl.errors import UsageError
from medcl.suggest import no_such

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
    known = [one.name for one in fields(kind) if one.name not in own]  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            raise UsageError(no_such("setting", name, known))
    return kind(**own, **settings)
