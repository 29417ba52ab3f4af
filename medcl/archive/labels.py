"""Join a label table to a manifest: patients, targets, and the official split where a data-set card gives one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from medcl.archive import targets
from medcl.archive.card import CardTable, DatasetCard, Folds, inside
from medcl.archive.config import Modality
from medcl.archive.identity import code
from medcl.archive.manifest import Manifest, Target
from medcl.archive.naming import PatientNames, RecordNames
from medcl.archive.path_ids import FLAG, is_placeholder, stand_in, zero_is_an_id
from medcl.archive.schema import SCHEMA
from medcl.archive.split import official
from medcl.archive.stratify import Ints
from medcl.archive.table import LabelTable, read_table
from medcl.errors import MedclError, UsageError

_VOLTAGES = {"V", "mV", "uV", "nV"}
_TYPES = {"multilabel": pa.list_(pa.string()), "regression": pa.float64()}


@dataclass(frozen=True)
class JoinReport:
    """What a join found.

    Args:
        records: in the manifest.
        rows: in the table.
        matched: records that the table describes.
        records_absent: records that the table does not name; they stay without labels.
        rows_absent: rows of the table that name no record.
        labelled: target -> records that have a label.
        other_unit: records quarantined because their file states another unit than the card.
        dialect: what is unusual about the table's file, such as its separator; empty where nothing is.
    """

    records: int
    rows: int
    matched: int
    records_absent: int
    rows_absent: int
    labelled: dict[str, int]
    other_unit: int = 0
    dialect: str = ""


def join(
    manifest: Manifest,
    table_path: Path | str,
    *,
    record_column: str | None = None,
    patient_column: str | None = None,
    target_columns: Sequence[str] = (),
    missing: Sequence[str] = (),
    salt: bytes,
) -> tuple[Manifest, JoinReport]:
    """Join a table of labels to the records.

    A row names its record by the path relative to the manifest's root, with or without suffix, or by the file's stem
    where that names one record only; or it names the DICOM volumes of a folder by its path. A patient column replaces
    the ids that the scan found: a record that the table does not name then has no patient, since the two kinds of ids
    cannot be compared. A record whose cell is missing or a placeholder (ANONYMOUS) keeps the patient that the scan
    found, or else stands alone, as a patient of its own.

    Without a record column the patient column names the records: all those of the patient, whose ids stay as the scan
    found them. `sub-01` of a BIDS table is the patient 01.

    Args:
        manifest: scanned records.
        table_path: as `read_table` takes it.
        record_column: column that names the record; None for a table of patients.
        patient_column: column of the patient id; it is kept only as a code.
        target_columns: columns that become targets, each with an optional kind: `age` or `age:regression`.
        missing: words for a missing value, beside the usual ones.
        salt: of the codes, the same as the manifest's.

    Returns:
        The manifest with its labels, and what was found.

    Raises:
        UsageError: a column that is not there, neither of the two columns is given, a target that cannot be of its
            kind, or one named like a manifest column.
        MedclError: no row names a record, or two rows say different things about one.
    """
    table = read_table(table_path, missing)
    labels = [targets.infer(table, *targets.parse_column(text)) for text in target_columns]
    used = [label.target.name for label in labels]
    if record_column is not None:
        used += [patient_column] if patient_column else []
        row_of_record, report = _match(manifest, table, record_column, used)
        return _apply(manifest, table, row_of_record, report, patient_column, labels, salt)
    if patient_column is None:
        raise UsageError("a label table needs the column that names its records, or that of its patients")
    row_of_record, report = _match(manifest, table, patient_column, used, PatientNames(manifest, salt))
    return _apply(manifest, table, row_of_record, report, None, labels, salt)


def join_card(manifest: Manifest, card: DatasetCard, folder: Path | str, *, salt: bytes) -> tuple[Manifest, JoinReport]:
    """Join the table of a data-set card: patients, targets and the official folds.

    A record whose file states another unit than the card is quarantined, even where one converts into the other: in a
    data set of known origin it is the sign of a wrong or altered file, and a wrong factor of 1000 would not be noticed.

    Args:
        manifest: scanned records.
        card: of the data set.
        folder: of the data set, where the card's tables are.
        salt: of the codes, the same as the manifest's.

    Returns:
        The manifest with labels and, where the card has folds, split; and what was found.

    Raises:
        UsageError: a column of the card is not in the table.
        MedclError: as in `join`, or a cell is not what the card says.
    """
    folder = Path(folder)
    manifest, other_unit = _check_unit(manifest, card.unit)
    if card.table is None:
        return manifest, JoinReport(len(manifest), 0, 0, 0, 0, {}, other_unit)
    files = [card.table.file] if isinstance(card.table.file, str) else card.table.file
    table = read_table([inside(folder, file) for file in files], card.missing)
    labels = [targets.from_card(table, name, rule, folder) for name, rule in card.targets.items()]
    used = [rule.column for rule in card.targets.values()]
    used += [name for name in (card.table.patient, card.table.modality, card.folds and card.folds.column) if name]
    row_of_record, report = _match(manifest, table, card.table.key, used)
    if card.table.modality is not None:
        manifest = _with_modality(manifest, table, card.table, row_of_record)
    manifest, report = _apply(manifest, table, row_of_record, report, card.table.patient, labels, salt)
    if card.folds is not None:
        manifest = official(manifest, _pick(_folds(table, card.folds), row_of_record), card.folds)
    return manifest, replace(report, other_unit=other_unit)


def _match(
    manifest: Manifest, table: LabelTable, column: str, used: Sequence[str], patients: PatientNames | None = None
) -> tuple[Ints, JoinReport]:
    """The table's row of each record, (records,), -1 where none names it, or its patient where these are given."""
    names = patients or RecordNames(manifest)
    # A file may be called `unknown` or `na`: a name that no record has does no harm.
    keys = table.as_written(column) if patients is None else [one or None for one in _patients(table, column)]
    paths = [str(path) for path in manifest.column("path")]
    rows_of_record: dict[int, list[int]] = defaultdict(list)
    naming: set[int] = set()
    for row, key in enumerate(keys):
        try:
            records = () if key is None else names.rows(key)
        except MedclError as error:
            raise MedclError(f"{table.place(row)}, column {column!r}: {error}") from error
        for record in records:
            rows_of_record[record].append(row)
            naming.add(row)
    if not rows_of_record and patients is not None:
        raise MedclError(
            f"{table.path}: no row of column {column!r} names a patient of the archive. {_named_like(table, keys)}; "
            "ids of headers or paths (see --id-pattern) are needed, or a --record-column"
        )
    if not rows_of_record:
        suffixes = sorted({PurePosixPath(path).suffix for path in paths} - {""})
        raise MedclError(
            f"{table.path}: no row of column {column!r} names a record of the archive. {_named_like(table, keys)}; "
            f"the archive has {len(paths)} records, of {', '.join(suffixes) or 'files without a suffix'}: the paths "
            "relative to the archive, with or without suffix, or the file names, or the folders of DICOM series, have "
            "to agree"
        )
    _refuse_contradictions(table, column, used, list(rows_of_record.values()))
    row_of_record = np.full(len(paths), -1, dtype=np.int64)
    for record, rows in rows_of_record.items():
        row_of_record[record] = rows[0]
    matched, named = len(rows_of_record), len(naming)
    absent = len(paths) - matched, len(table) - named
    return row_of_record, JoinReport(len(paths), len(table), matched, *absent, {}, dialect=table.dialect)


def _refuse_contradictions(table: LabelTable, key: str, used: Sequence[str], groups: Sequence[list[int]]) -> None:
    repeated = [rows for rows in groups if len(rows) > 1]
    for column in used:
        cells = table.codes(column)
        differing = [rows for rows in repeated if len({cells[row] for row in rows}) > 1]
        if differing:
            raise MedclError(
                f"{table.path}: {len(differing)} records are named by several rows of {key!r} that differ in column "
                f"{column!r}, the first in {' and '.join(table.place(row) for row in differing[0][:2])}"
            )


def _named_like(table: LabelTable, keys: Sequence[str | None]) -> str:
    """What the cells look like that should name records, without showing one."""
    row = next((row for row, key in enumerate(keys) if key is not None), None)
    if row is None:
        return "Its cells are empty"
    text = str(keys[row])
    kind = "a path" if "/" in text or "\\" in text else "a number" if text.isdecimal() else "a name"
    return f"The first is {kind} of {len(text)} characters, in {table.place(row)}"


def _apply(
    manifest: Manifest,
    table: LabelTable,
    row_of_record: Ints,
    report: JoinReport,
    patient_column: str | None,
    labels: Sequence[targets.Labels],
    salt: bytes,
) -> tuple[Manifest, JoinReport]:
    if patient_column is not None:
        manifest = _with_patients(manifest, _patients(table, patient_column), row_of_record, salt)
    known: dict[str, Target] = dict(manifest.targets)
    labelled = {}
    for label in labels:
        name = label.target.name
        if name in SCHEMA.names:
            raise UsageError(f"a target cannot be named {name!r}: the manifest has a column of that name")
        values = _pick(label.values, row_of_record)
        manifest = manifest.with_column(name, pa.array(values, type=_TYPES.get(label.target.kind, pa.string())))
        known[name] = label.target
        labelled[name] = sum(value is not None for value in values)
    return manifest.with_targets(known), replace(report, labelled=labelled)


def _patients(table: LabelTable, column: str) -> list[str]:
    """The clear id of every row; empty where it is missing or a placeholder."""
    ids = table.codes(column)
    zero = zero_is_an_id(ids)
    return ["" if one is None or is_placeholder(one, zero_is_id=zero) else one for one in ids]


def _with_patients(manifest: Manifest, ids: Sequence[str], row_of_record: Ints, salt: bytes) -> Manifest:
    """The patient of each record as the table has it; where it names nobody, the one found, or a stand-in."""
    found = manifest.table.column("patient").to_pylist()
    flags = manifest.table.column("flags").to_pylist() if manifest.has("flags") else [None] * len(manifest)
    codes: list[int | None] = []
    for record, (path, clear) in enumerate(zip(manifest.column("path"), _pick(ids, row_of_record), strict=True)):
        if clear is None:
            codes.append(None)
        elif clear:
            codes.append(code("patient", clear, salt))
            flags[record] = [flag for flag in flags[record] or () if flag != FLAG]
        elif found[record] is not None:
            codes.append(found[record])
        else:
            codes.append(code("patient", stand_in(str(path)), salt))
            flags[record] = [*(flags[record] or ()), FLAG]
    manifest = manifest.with_column("patient", pa.array(codes, type=pa.int64()))
    return manifest.with_column("flags", pa.array(flags, type=pa.list_(pa.string())))


def _folds(table: LabelTable, rule: Folds) -> list[str | None]:
    known = (*rule.train, *rule.val, *rule.test)
    cells = table.codes(rule.column, known)
    foreign = [row for row, cell in enumerate(cells) if cell is not None and cell not in known]
    if foreign:
        raise MedclError(
            f"{table.place(foreign[0])}, column {rule.column!r}: {len(foreign)} rows have a fold that belongs to no "
            f"split of the card ({', '.join(known)}), this one the first"
        )
    return cells


def _with_modality(manifest: Manifest, table: LabelTable, rule: CardTable, row_of_record: Ints) -> Manifest:
    """The modality of each record as the table has it; one that the table leaves open keeps its own."""
    cells = table.column(str(rule.modality), rule.modality_values)
    known = {name: rule.modality_values.get(name, name.lower()) for name in set(cells) if name is not None}
    foreign = next((row for row, cell in enumerate(cells) if cell and known[cell] not in get_args(Modality)), None)
    if foreign is not None:
        raise MedclError(
            f"{table.place(foreign)}, column {rule.modality!r}: none of {', '.join(get_args(Modality))}: say "
            "which it is with `modality_values`"
        )
    stated = [None if cell is None else known[cell] for cell in _pick(cells, row_of_record)]
    own = manifest.column("modality").tolist()
    chosen = [one if one is not None and old is not None else old for one, old in zip(stated, own, strict=True)]
    return manifest.with_column("modality", pa.array(chosen, type=pa.string()))


def _pick(values: Sequence[Any], row_of_record: Ints) -> list[Any]:
    return [None if row < 0 else values[row] for row in row_of_record.tolist()]


def _check_unit(manifest: Manifest, unit: str | None) -> tuple[Manifest, int]:
    if unit is None:
        return manifest, 0
    status = [str(value) for value in manifest.column("status")]
    count = 0
    for i, units in enumerate(manifest.table.column("units").to_pylist()):
        # A channel that is no voltage (a marker, a breathing rate) may stand beside those that the card speaks of.
        voltages = sorted(_VOLTAGES.intersection(units or ()))
        if status[i] == "ok" and voltages != [unit]:
            status[i] = f"the file is in {' and '.join(voltages) or 'no voltage'}, the data-set card says {unit}"
            count += 1
    return manifest.with_column("status", pa.array(status, type=pa.string())), count
