"""Who is trained on, who is chosen by and who is tested on: always whole patients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medcl.archive.card import Folds
from medcl.archive.manifest import Manifest
from medcl.archive.stratify import Bools, Ints, any_of, divide, first_appearance, label_columns
from medcl.errors import MedclError, UsageError

SPLITS = ("train", "val", "test")
_SHOWN = 5  # patients that an error names


def split(
    manifest: Manifest,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    *,
    stratify: str | None = None,
    seed: int = 0,
    keep: Manifest | None = None,
) -> Manifest:
    """Split patients into train, val and test.

    Patients are stratified by the classes that any of their records carries (of a regression target: by fifths of its
    values; the unlabelled count as a class), with the iterative stratification of `stratify.divide`. The result depends
    on the seed and on the order of the records, not on how patients are coded. Quarantined records get no split.

    Args:
        manifest: scanned records.
        fractions: shares of the patients in train, val and test, which sum to 1; or whole numbers of patients, or of
            records, which sum to all that can be used and are met exactly.
        stratify: name of the target to stratify by; None only makes the sizes right.
        seed: seed of the draw.
        keep: an earlier manifest whose patients stay where they were; it has to be coded with the same salt.

    Returns:
        The manifest with its column `split`.

    Raises:
        UsageError: fractions that are none, an unknown target, or an earlier manifest with another salt.
        MedclError: there is no patient to split.
    """
    exact = sum(fractions) > 1 and all(float(number).is_integer() for number in fractions)
    within = all(0 <= share <= (np.inf if exact else 1) for share in fractions)
    if len(fractions) != 3 or not within or not (exact or abs(sum(fractions) - 1) <= 1e-6):
        raise UsageError(
            f"split fractions {tuple(fractions)}: three shares of train, val and test that sum to 1 are needed, or "
            "three numbers of patients"
        )
    rows, owner, columns = _patients(manifest, stratify)
    weights = _weights(fractions, owner, len(columns)) if exact else None
    fixed = None if keep is None else _kept(manifest, keep, rows)
    rng = np.random.default_rng(seed)
    part = divide(columns, [share / (sum(fractions) if exact else 1) for share in fractions], rng, fixed, weights)
    if weights is not None and np.bincount(part, weights, minlength=3).tolist() != list(fractions):
        raise UsageError(
            f"split into {_listed(fractions)}: whole patients cannot be divided like this"
            + (", as those of the earlier manifest keep their splits" if keep is not None else "")
        )
    settings = {"fractions": list(fractions), "stratify": stratify, "seed": seed, "kept": keep is not None}
    return _write(manifest, rows, part[owner], settings)


def missing_splits(patients: Mapping[str, int], path: Path) -> str:
    """What cannot be done with a split that leaves val or test without a patient, and what to do; else nothing.

    Args:
        patients: split -> how many it has.
        path: of the manifest.
    """
    purpose = {"val": "weights cannot be chosen by patients who are not trained on", "test": "nothing can be tested"}
    empty = [name for name in purpose if not patients.get(name)]
    if not empty:
        return ""
    without = "; ".join(f"{name} has no patient, so {purpose[name]}" for name in empty)
    total = sum(patients.values())
    if total < len(SPLITS):
        return f"{without}: there must be at least {len(SPLITS)} patients"
    val, test = max(1, round(0.1 * total)), max(1, round(0.2 * total))
    numbers = f"{total - val - test} {val} {test}"
    return f"{without}: numbers of patients are met exactly, such as `medcl split {path} --fractions {numbers}`"


def folds(manifest: Manifest, k: int, fold: int, *, stratify: str | None = None, seed: int = 0) -> Manifest:
    """One fold of a k-fold cross-validation over patients.

    The patients are divided into k folds; fold `fold` is the test split, the next one (after the last: the first) the
    validation split, the others are trained on. Over all folds every patient is tested on once.

    Args:
        manifest: scanned records.
        k: number of folds, at least 3.
        fold: which of them is tested on, from 0.
        stratify: name of the target to stratify by.
        seed: seed of the division; the folds of one cross-validation share it.

    Returns:
        The manifest with its column `split`.

    Raises:
        UsageError: k or fold that cannot be, fewer patients than folds, or an unknown target.
        MedclError: there is no patient to split.
    """
    if k < 3 or not 0 <= fold < k:
        raise UsageError(f"fold {fold} of {k}: at least 3 folds, counted from 0, are needed for train, val and test")
    rows, owner, columns = _patients(manifest, stratify)
    if len(columns) < k:
        raise UsageError(f"{len(columns)} patients cannot be divided into {k} folds")
    number = divide(columns, [1 / k] * k, np.random.default_rng(seed))
    part = np.zeros(k, dtype=np.int64)
    part[(fold + 1) % k], part[fold] = 1, 2
    return _write(manifest, rows, part[number[owner]], {"k": k, "fold": fold, "stratify": stratify, "seed": seed})


def official(manifest: Manifest, values: Sequence[str | None], rule: Folds) -> Manifest:
    """Take over the published split.

    Args:
        manifest: scanned records.
        values: (records,) the fold of each record as the data set's table says; None leaves a record out of every
            split.
        rule: which folds are which split.

    Returns:
        The manifest with its column `split`.

    Raises:
        MedclError: a fold that the rule does not know, or a patient in two splits.
    """
    part = {fold: number for number, name in enumerate(SPLITS) for fold in getattr(rule, name)}
    foreign = sorted({value for value in values if value is not None and value not in part})
    if foreign:
        raise MedclError(f"column {rule.column!r}: fold {', '.join(foreign[:_SHOWN])} belongs to no split of the card")
    rows = np.flatnonzero(manifest.usable & np.array([value is not None for value in values], dtype=bool))
    chosen = np.array([part[str(values[row])] for row in rows.tolist()], dtype=np.int64)
    result = _write(manifest, rows, chosen, {"official": rule.column})
    check(result)
    return result


def check(manifest: Manifest) -> None:
    """Hold the split against its one rule: a patient is in one split.

    Args:
        manifest: records with a column `split`.

    Raises:
        UsageError: there is no split.
        MedclError: patients are in two splits; says how many and names some of them, by their codes.
    """
    if not manifest.has("split"):
        raise UsageError("the manifest has no split: use `medcl split`, or a card with folds")
    number = _split_numbers(manifest)
    rows = np.flatnonzero((number >= 0) & (manifest.column("patient") >= 0))
    if not len(rows):
        return
    owner, n_patients, codes = _owners(manifest, rows)
    present = any_of(number[rows, None] == np.arange(len(SPLITS)), owner, n_patients)
    torn = np.flatnonzero(present.sum(axis=1) > 1)
    if len(torn):
        shown = "; ".join(
            f"{codes[patient]} in {' and '.join(np.array(SPLITS)[present[patient]])}" for patient in torn[:_SHOWN]
        )
        more = f"; and {len(torn) - _SHOWN} more" if len(torn) > _SHOWN else ""
        raise MedclError(f"{len(torn)} of {n_patients} patients are in two splits: {shown}{more}. Split by patient")


def missing_classes(manifest: Manifest, target: str) -> dict[str, list[str]]:
    """Classes that no readable record of a split carries.

    Args:
        manifest: records with labels and a split.
        target: name of the target.

    Returns:
        {split: classes} for train, val and test; nothing is missing of a regression target.

    Raises:
        UsageError: an unknown target.
    """
    columns, _ = _columns(manifest, target)
    if manifest.targets[target].kind == "regression":
        return {name: [] for name in SPLITS}
    number = _split_numbers(manifest)
    classes = manifest.targets[target].classes
    return {
        name: [c for c, some in zip(classes, columns[number == i].any(axis=0), strict=True) if not some]
        for i, name in enumerate(SPLITS)
    }


def _patients(manifest: Manifest, stratify: str | None) -> tuple[Ints, Ints, Bools]:
    """Readable rows that have a patient, the number of the patient of each, and what to stratify patients by."""
    rows = np.flatnonzero(manifest.usable & (manifest.column("patient") >= 0))
    if not len(rows):
        raise MedclError("there is no readable record with a patient to split")
    owner, n_patients, _ = _owners(manifest, rows)
    if stratify is None:
        return rows, owner, np.zeros((n_patients, 0), dtype=bool)
    columns, known = _columns(manifest, stratify)
    columns = np.concatenate([columns, ~known[:, None]], axis=1)
    return rows, owner, any_of(columns[rows], owner, n_patients)


def _weights(numbers: Sequence[float], owner: Ints, n_patients: int) -> Ints:
    """What a patient counts for where a split is given in numbers: one, or its records."""
    if sum(numbers) == n_patients:
        return np.ones(n_patients, dtype=np.int64)
    if sum(numbers) == len(owner):
        return np.bincount(owner, minlength=n_patients)
    raise UsageError(
        f"split into {_listed(numbers)}: the numbers have to sum to the {n_patients} patients, or to the {len(owner)} "
        "records, that can be used"
    )


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _columns(manifest: Manifest, target: str) -> tuple[Bools, Bools]:
    labels, about = manifest.labels(target), manifest.targets[target]
    columns, known = label_columns(labels, about.kind, len(about.classes))
    return columns & manifest.usable[:, None], known


def _owners(manifest: Manifest, rows: Ints) -> tuple[Ints, int, Ints]:
    """Number of the patient of each row, how many patients there are, and their codes."""
    codes = manifest.column("patient")[rows]
    owner, n_patients = first_appearance(codes)
    by_number = np.empty(n_patients, dtype=np.int64)
    by_number[owner] = codes
    return owner, n_patients, by_number


def _kept(manifest: Manifest, keep: Manifest, rows: Ints) -> Ints | None:
    """The split that each patient had before, -1 for a new one; None where nobody had one."""
    if manifest.metadata.get("salt") != keep.metadata.get("salt"):
        raise UsageError("the earlier manifest is coded with another salt, so its patients cannot be recognised")
    check(keep)
    number = _split_numbers(keep)
    placed = np.flatnonzero(number >= 0)
    known, first = np.unique(keep.column("patient")[placed], return_index=True)
    if not len(known):
        return None
    _, _, codes = _owners(manifest, rows)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[at] == codes, number[placed[first]][at], -1)


def _split_numbers(manifest: Manifest) -> Ints:
    """Number of each row's split, -1 without one."""
    result = np.full(len(manifest), -1, dtype=np.int64)
    for i, name in enumerate(SPLITS):
        result[manifest.split_rows(name)] = i
    return result


def _write(manifest: Manifest, rows: Ints, part: Ints, settings: dict[str, Any]) -> Manifest:
    number = np.full(len(manifest), -1, dtype=np.int8)
    number[rows] = part
    written = manifest.with_column("split", pa.array(SPLITS).take(pa.array(number, mask=number < 0)))
    return replace(written, metadata={**written.metadata, "split": settings})
