"""A manifest of files that are named one by one, or by their folders, without an archive around them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from medcl.archive.config import Modality
from medcl.archive.identity import code, site_salt
from medcl.archive.manifest import Manifest
from medcl.archive.report_read import ReportRule
from medcl.archive.reports import files_of_records, join_reports
from medcl.archive.scan import scan
from medcl.archive.sorted_names import SortedNames
from medcl.archive.walk import Walk, walk
from medcl.errors import UsageError
from medcl.modality.signal.config import Stated

INPUT = "input"
"""Column with the number of the file, in the order in which they were named, from 0."""
UNKNOWN = "unknown"
_CLEAR = ("path", "files")


def scan_files(
    named: Sequence[Path | str],
    *,
    reports: bool = False,
    modality: Modality | None = None,
    stated: Stated | None = None,
    jobs: int = 1,
) -> Manifest:
    """Find the records of some files.

    A record has the id that its absolute path is coded to. Its patient is the one that its header or its path names,
    coded as in an archive; of a record without one the coded path stands for the patient.

    Args:
        named: files, or folders with all that is in them. Files that belong to a header, such as the samples of WFDB,
            need not be named.
        reports: whether files that are no records of another kind are reports.
        modality: see `scan.scan`.
        stated: of signals whose files leave it open.
        jobs: processes.

    Returns:
        One row a record, in the order of paths, with the column `INPUT`. The metadata `unknown` are the numbers of
        those that hold a file that is no record and belongs to none.

    Raises:
        UsageError: a file that is not there, or none is a record.
    """
    number: dict[str, int] = {}
    for place, one in enumerate(named):
        path = Path(os.path.abspath(one))
        if not path.exists():
            raise UsageError(f"{one}: there is no such file")
        found = [path / inside for inside in walk(path).files] if path.is_dir() else [path]
        for file in found:
            number.setdefault(file.relative_to(file.anchor).as_posix(), place)
    root, salt, every = Path(Path.cwd().anchor), site_salt(), Walk(files=SortedNames(number))
    manifest = scan(root, salt=salt, modality=modality, stated=stated, jobs=jobs, found=every)
    if reports:
        manifest, _ = join_reports(manifest, [ReportRule(files="**")], root, salt=salt, jobs=jobs, found=every)
    if not len(manifest):
        raise UsageError(f"none of the {len(number)} files is a record that medcl reads")
    paths, patients = manifest.column("path"), manifest.column("patient")
    coded = [code("patient", one, salt) if known < 0 else known for one, known in zip(paths, patients, strict=True)]
    manifest = manifest.with_column("patient", pa.array(np.array(coded, dtype=np.int64)))
    unknown = {number[one] for one in number.keys() - files_of_records(manifest) - set(paths)}
    manifest = replace(manifest, metadata={**manifest.metadata, UNKNOWN: sorted(unknown)})
    return manifest.with_column(INPUT, pa.array([number[one] for one in paths], pa.int64()))


def without_names(manifest: Manifest) -> Manifest:
    """The manifest without the names of files."""
    for name in _CLEAR:
        kind = manifest.table.schema.field(name).type
        manifest = manifest.with_column(name, pa.nulls(len(manifest), kind))
    return replace(manifest, root=Path())
