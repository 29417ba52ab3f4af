"""What the functions of the commands take (paths, or what others return), what they return, and how it is told."""

import html
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property, wraps
from inspect import signature
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, get_args, get_origin

from medcl.errors import UsageError, no_such
from medcl.modality import WINGS

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Result(Generic[T]):
    """The result of a command. It is taken wherever the path of what was written is: `medcl.explore(medcl.embed(...))`.

    Args:
        text: as the command prints it; names no patient.
        load: returns the object, which `value` keeps.
        path: the file or folder that was written, if any.
        then: the command that comes next as a rule, for the command line; may be empty.
        is_document: the text is YAML or Markdown that may be written to a file: `then` goes to standard error.
    """

    text: str
    load: Callable[[], T]
    path: Path | None = None
    then: str = ""
    is_document: bool = False

    @cached_property
    def value(self) -> T:
        """The manifest, the embeddings, the numbers."""
        return self.load()

    def __fspath__(self) -> str:
        """The path of what was written.

        Raises:
            UsageError: nothing was.
        """
        if self.path is None:
            raise UsageError("this result was not written to a file: give output=")
        return str(self.path)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return re.sub(r"\x1b\[[\d;]*m", "", self.text)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def printed(show: "Callable[[Console], None]") -> str:
    """What a function prints on the console, with the styles that the terminal has."""
    from medcl.evaluate.terminal import console_of

    console = console_of()
    with console.capture() as captured:
        show(console)
    return captured.get()


if TYPE_CHECKING:
    from collections.abc import Iterator

    from medcl.archive.manifest import Manifest
    from medcl.commands.arguments import Result
    from medcl.embed.embeddings import EmbeddingsFile

    KindName: TypeAlias = str
    PathSource: TypeAlias = str | Path | Result[Any]
    ManifestSource: TypeAlias = str | Path | Result[Any] | Manifest
    EmbeddingsSource: TypeAlias = str | Path | Result[Any] | EmbeddingsFile
else:
    KindName = Literal[WINGS]
    # On the command line all of these are paths.
    PathSource = ManifestSource = EmbeddingsSource = Path

Column = Annotated[str, "COLUMN"]
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


Inputs = Sequence[Annotated[PathSource, "FILE"]]
NO_MANIFEST = "give --manifest, or with --input the files themselves"


@contextmanager
def named_or_scanned(
    manifest: "ManifestSource | None",
    files: Sequence["PathSource"],
    cards: Mapping[str, Any],
    store: "PathSource | None",
    jobs: int,
) -> "Iterator[tuple[Manifest, Path]]":
    """The records of a manifest, or those of files that are named, and the folder of prepared ones.

    Args:
        manifest: the manifest, or its path.
        files: in its place, files and folders.
        cards: {kind: card} of the encoders that shall take them.
        store: folder of prepared records; default: beside the manifest, of files a temporary one.
        jobs: number of processes that read files.

    Raises:
        UsageError: neither or both are given, or as `manifest_and_store`, `scan_files`.
    """
    if (manifest is None) == (not files):
        raise UsageError(NO_MANIFEST if manifest is None else "--manifest and --input both name records: give one")
    if manifest is not None:
        yield manifest_and_store(manifest, store)
        return
    from medcl.embed.inputs import records_of

    with TemporaryDirectory(prefix="medcl-") as folder:
        found = records_of([Path(one) for one in files], cards, jobs=jobs)
        yield found, Path(folder if store is None else store)


def config_of(kind: type[T], settings: Mapping[str, Any], **own: Any) -> T:
    """A configuration from settings by name.

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


_REASONS = 12
_IDS = 3


def quarantined(reasons: Mapping[str, str], total: int, what: str) -> list[str]:
    """Say what was quarantined, by reason, the most frequent first.

    Reasons that differ in their numbers only count as one, which is quoted as the first record has it.

    Args:
        reasons: id of a record -> why it cannot be used.
        total: records that there are.
        what: they are, such as `volumes`.

    Returns:
        Lines: the number of records, then each reason with its count and the ids of a few; none without any reason.
    """
    if not reasons:
        return []
    alike: dict[str, list[str]] = defaultdict(list)
    for record, reason in reasons.items():
        alike[re.sub(r"[\d.]+", "#", reason)].append(record)
    ordered = sorted(alike.values(), key=len, reverse=True)
    lines = [f"quarantined: {len(reasons)} of {total} {what}"]
    for records in ordered[:_REASONS]:
        more = f" and {len(records) - _IDS} more" if len(records) > _IDS else ""
        varies = len({reasons[record] for record in records}) > 1
        lines.append(f"{len(records):>8}  {reasons[records[0]]}{' (and alike)' if varies else ''}")
        lines.append(f"{'':>8}  of {', '.join(records[:_IDS])}{more}")
    rest = ordered[_REASONS:]
    if rest:
        lines.append(f"{sum(map(len, rest)):>8}  for {len(rest)} other reasons")
    return lines


def unknown(manifest: "Manifest") -> list[str]:
    """Say which of the files that were named are no records; they are told by their numbers, for names may be clear."""
    numbers = manifest.metadata.get("unknown") or []
    if not numbers:
        return []
    some = f"{', '.join(map(str, numbers[:_REASONS]))}{' and more' if len(numbers) > _REASONS else ''}"
    return [f"no records: {len(numbers)} of the inputs (number {some}, from 0) hold files that medcl does not read"]


def filled(voxels: Mapping[str, int]) -> list[str]:
    """Say how many voxels were not a number and were filled, as `data.nan` has it.

    Returns:
        One line, or none where no voxel was.
    """
    if not voxels:
        return []
    some = f"{', '.join(list(voxels)[:_IDS])}{f' and {len(voxels) - _IDS} more' if len(voxels) > _IDS else ''}"
    return [
        f"filled: {sum(voxels.values())} voxels that were not a number (data.nan), of {len(voxels)} volumes: {some}"
    ]
