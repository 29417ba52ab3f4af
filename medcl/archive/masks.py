"""Label maps that lie beside volumes: found by a pattern on the path, and no records of their own."""

import posixpath
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from medcl.archive.file_state import content_checksum, header_checksum, state
from medcl.archive.manifest import Manifest, Masks
from medcl.archive.path_ids import LEVELS
from medcl.archive.schema import SCANNED, SCHEMA, scanned_column
from medcl.archive.sorted_names import SortedNames
from medcl.errors import UsageError
from medcl.modality.formats import without_suffix

_FIELDS = ("name", "stem", "folder")


@dataclass(frozen=True)
class MaskRule:
    """Where the label map of a volume is.

    Args:
        pattern: path of the label map relative to the archive (`..` may lead out of it), with `{name}` for the file
            name of the volume, `{stem}` for it without suffix, `{folder}` for its folder, and the groups of the id
            pattern: `labels/{name}`, `{folder}/{stem}_seg.nii.gz`, `masks/{patient}/{study}.nii.gz`. The name of a
            DICOM volume is that of its first file.
        classes: class k is what voxels of value k show; class 0 is the background.
        name: of the column in the manifest.
    """

    pattern: str
    classes: tuple[str, ...]
    name: str = "mask"

    def __post_init__(self) -> None:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.pattern) if field is not None]
        except ValueError as error:
            raise UsageError(f"mask pattern {self.pattern!r}: {error}") from error
        foreign = [field for field in fields if field not in (*_FIELDS, *LEVELS)]
        if foreign:
            raise UsageError(
                f"mask pattern {self.pattern!r}: {{{foreign[0]}}} is none of {', '.join((*_FIELDS, *LEVELS))}"
            )
        if not fields:
            raise UsageError(f"mask pattern {self.pattern!r} names one file for all volumes: use {{name}} or {{stem}}")
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise UsageError("mask classes: names in the order of the voxel values, the background first, each once")
        if {self.name, scanned_column(self.name)} & set(SCHEMA.names):
            raise UsageError(f"a label map cannot be named {self.name!r}: the manifest has a column of that name")

    def path_of(self, record: str, ids: re.Pattern[str] | None = None) -> str | None:
        """Where the label map of a record would be.

        Args:
            record: its path, relative to the archive.
            ids: pattern of ids, whose groups the rule may use.

        Returns:
            The path relative to the archive, or None: the id pattern does not say what the rule asks for.
        """
        at = PurePosixPath(record)
        found = ids.search(record) if ids is not None else None
        groups = {level: value for level, value in (found.groupdict() if found else {}).items() if value}
        try:
            path = self.pattern.format(name=at.name, stem=without_suffix(at.name), folder=str(at.parent), **groups)
        except KeyError:
            return None
        return posixpath.normpath(path)


def label_maps(rule: MaskRule, paths: Iterable[str], ids: re.Pattern[str] | None = None) -> SortedNames:
    """The files that are label maps of others, and so no records.

    Args:
        rule: where label maps are.
        paths: of all files, relative to the archive.
        ids: pattern of ids.

    Returns:
        The paths of the rule; those of files that are not there too.
    """
    return SortedNames(path for path in (rule.path_of(record, ids) for record in paths) if path is not None)


@dataclass(frozen=True)
class MaskReport:
    """What was found of the label maps.

    Args:
        name: of the column.
        found: records that have one.
        missing: usable records that have none.
    """

    name: str
    found: int
    missing: int


def join_masks(
    manifest: Manifest, rule: MaskRule, ids: re.Pattern[str] | None = None, *, strict: bool = False
) -> tuple[Manifest, MaskReport]:
    """Give each usable volume its label map.

    Args:
        manifest: scanned records.
        rule: where label maps are.
        ids: pattern of ids.
        strict: note a checksum of every byte too, not of the header alone.

    Returns:
        The manifest with a column of the rule's name, null where there is none, one that tells whether the files are
        still the same (`scanned_column`), and the counts.

    Raises:
        UsageError: the manifest has a column of that name, or no label map is where the rule says.
    """
    taken = [name for name in (rule.name, scanned_column(rule.name)) if manifest.has(name)]
    if taken and rule.name not in manifest.masks:
        raise UsageError(f"a label map cannot be named {rule.name!r}: a column of labels has the name {taken[0]!r}")
    usable = manifest.usable
    wanted = [
        rule.path_of(str(path), ids) if use else None for use, path in zip(usable, manifest.column("path"), strict=True)
    ]
    there = {path: (manifest.root / path).is_file() for path in set(wanted) if path is not None}
    paths = [path if path is not None and there[path] else None for path in wanted]
    found = sum(path is not None for path in paths)
    if usable.any() and not found:
        example = next((path for path in wanted if path is not None), None)
        looked = f"there is e.g. no {manifest.root / Path(example)}" if example else "the id pattern lacks its groups"
        raise UsageError(f"mask pattern {rule.pattern!r} finds no label map: {looked}")
    manifest = manifest.with_masks(Masks(rule.name, rule.classes), pa.array(paths, type=pa.string()))
    states = {path: _scanned(manifest.root, path, strict) for path in set(paths) if path is not None}
    noted = pa.array([None if path is None else states[path] for path in paths], SCANNED)
    manifest = manifest.with_column(scanned_column(rule.name), noted)
    return manifest, MaskReport(rule.name, found, int(usable.sum()) - found)


def _scanned(root: Path, path: str, strict: bool) -> dict[str, int | str | None]:
    full = root / path
    checksum = header_checksum(full, [full.name])
    try:
        behind = content_checksum(full, [full.name]) if strict and checksum else ""
    except OSError:
        behind = ""
    return {**state(root, path, [full.name]), "checksum": checksum and checksum + behind}
