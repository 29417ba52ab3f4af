"""What a report describes: the codes of its record, its study or its patient, as the scan coded them."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from medcl.archive.identity import code
from medcl.archive.manifest import Manifest
from medcl.archive.naming import RecordNames
from medcl.archive.path_ids import ids_of
from medcl.archive.report_read import Draft
from medcl.errors import MedclError, UnreadableError, UsageError
from medcl.modality.formats import without_suffix

_Path = tuple[str | None, ...]


@dataclass(frozen=True)
class ReportPlace:
    """The codes of a report; None where it does not say, or speaks of more than one.

    Args:
        trial: of the one record that it describes.
        study: of the records that it describes, where they are several.
        patient: of these.
        linked: whether a usable record is among them.
        patient_known: whether a record of the manifest has this patient.
    """

    trial: int | None = None
    study: int | None = None
    patient: int | None = None
    linked: bool = False
    patient_known: bool = False


class Places:
    """Finds what reports describe among the records of a manifest.

    A report of something that is not there gets the code that it would have, so that it describes nothing: it does not
    fall back on other records of its patient.

    Args:
        manifest: records only, coded.
        pattern: of ids in paths.
        salt: of the codes.
    """

    def __init__(self, manifest: Manifest, pattern: re.Pattern[str] | None, salt: bytes) -> None:
        self._salt = salt
        self._pattern = pattern
        self._manifest = manifest
        self._paths = [str(path) for path in manifest.column("path")]
        self._ok = manifest.column("status") == "ok"
        self._codes = {level: manifest.column(level) for level in ("trial", "session", "study", "patient")}

    def of_cell(self, draft: Draft, belongs: Literal["record", "study", "patient"]) -> list[ReportPlace]:
        """What the key of a table's row means.

        Args:
            draft: of the row.
            belongs: of the rule.

        Returns:
            One place; several only where the key names records that are neither all of a study nor all of a patient.

        Raises:
            MedclError: the key is the name of records in several folders.
            UsageError: it is a study that several patients have.
        """
        key, owner = draft.key, draft.stated.get("patient")
        if key is None:
            return [self._absent("trial", f"\0{draft.path}\0", owner)]
        if belongs == "record":
            # A path that is not there is no other record of the same file name, as a bare name would be.
            rows = self._named(key, self._ids_of(key)) if "/" in key else self._names.rows(key)
            return self._of_rows(rows) or [self._absent("trial", f"\0{draft.path}\0{key}", owner)]
        return [self._of_patient(key)] if belongs == "patient" else self._of_study(key, owner)

    def of_file(self, draft: Draft, belongs: Literal["record", "study", "patient"]) -> list[ReportPlace]:
        """What a report file speaks of: the finest level that its path or its content tell, from `belongs` on."""
        ids, stated = draft.path_ids, draft.stated
        owner, visit = ids.get("patient", stated.get("patient")), _visit(ids) or stated.get("study")
        if belongs == "record":
            names = draft.records or (without_suffix(draft.path),)
            places = self._of_rows([row for name in names for row in self._named(name, ids)])
            if not places and "trial" in ids:
                places = self._of_rows(self._by_trial.get((owner, _visit(ids), ids["trial"]), ()))
            if places:
                return places
            if draft.records and visit is None:
                # Images that are not here: it does not speak of the others of the patient.
                return [self._absent("trial", f"\0{draft.path}", owner)]
        if belongs != "patient" and visit is not None:
            return self._of_study(visit, owner)
        return [ReportPlace() if owner is None else self._of_patient(owner)]

    def _of_rows(self, rows: Sequence[int]) -> list[ReportPlace]:
        """All records of a study or of a patient together, or each by itself."""
        chosen = [row for row in dict.fromkeys(rows) if self._ok[row]] or list(rows)
        if len(chosen) > 1:
            for level in ("study", "patient"):
                codes = {int(self._codes[level][row]) for row in chosen}
                if len(codes) == 1 and min(codes) >= 0:
                    every = [row for row in self._members[level][codes.pop()] if self._ok[row]]
                    if set(every) == set(chosen):
                        return [self._whole(level, chosen[0])]
        return [self._single(row) for row in chosen]

    def _single(self, row: int) -> ReportPlace:
        # A file that could not be read has no trial: then the report has one that no record has.
        path = self._paths[row]
        trial = self._code_of("trial", row)
        trial = code("trial", f"\0{path}", self._salt) if trial is None else trial
        patient = self._code_of("patient", row)
        return ReportPlace(trial, self._code_of("study", row), patient, bool(self._ok[row]), patient is not None)

    def _whole(self, level: str, row: int) -> ReportPlace:
        """All records of the study or the patient of a row."""
        patient, study = self._code_of("patient", row), self._code_of("study", row)
        members = self._members[level][int(self._codes[level][row])]
        linked = bool(self._ok[members].any())
        return ReportPlace(None, study if level == "study" else None, patient, linked, patient is not None)

    def _of_study(self, key: str, owner: str | None) -> list[ReportPlace]:
        codes = [code("study", text, self._salt) for text in ([key] if owner is None else [f"{owner}\0{key}", key])]
        for one in codes:
            if one in self._members["study"]:
                return [self._whole("study", self._members["study"][one][0])]
        if owner is None:
            owners = self._owners_of_visit.get(key, set())
            if len(owners) > 1:
                raise UsageError(
                    f"{len(owners)} patients have a study or session of one name that reports are keyed by: name the "
                    "column of the patient in the rule of the reports too (`patient`)"
                )
            owner = next(iter(owners), None)
        session = code("session", f"{owner}\0{key}", self._salt)
        rows = self._members["session"].get(session, self._by_visit.get((owner, key), ()))
        return self._of_rows(rows) or [self._absent("study", key if owner is None else f"{owner}\0{key}", owner)]

    def _of_patient(self, key: str) -> ReportPlace:
        number = code("patient", key, self._salt)
        if number in self._members["patient"]:
            return self._whole("patient", self._members["patient"][number][0])
        # The records may be coded by the ids of a label table, while the report goes by the id in their paths.
        row = next((row for row in self._by_owner.get((key,), ()) if self._codes["patient"][row] >= 0), None)
        return ReportPlace(patient=number) if row is None else self._whole("patient", row)

    def _absent(self, level: Literal["trial", "study"], name: str, owner: str | None) -> ReportPlace:
        """The place of something that is not in the archive."""
        patient = None if owner is None else self._of_patient(owner)
        number = code(level, name, self._salt)
        known = patient is not None and patient.patient_known
        return ReportPlace(
            trial=number if level == "trial" else None,
            study=number if level == "study" else None,
            patient=None if patient is None else patient.patient,
            patient_known=known,
        )

    def _named(self, name: str, ids: dict[str, str]) -> list[int]:
        """The records that go by a name, unless their paths say that they are another patient's."""
        try:
            rows = self._names.rows(name)
        except MedclError:
            return []
        owner = ids.get("patient")
        owners = [self._ids_of(self._paths[row]).get("patient") for row in rows]
        return [row for row, other in zip(rows, owners, strict=True) if None in (owner, other) or owner == other]

    def _code_of(self, level: str, row: int) -> int | None:
        value = int(self._codes[level][row])
        return value if value >= 0 else None

    def _ids_of(self, path: str) -> dict[str, str]:
        try:
            return ids_of(path, self._pattern)
        except UnreadableError:
            return {}

    @cached_property
    def _names(self) -> RecordNames:
        return RecordNames(self._manifest)

    @cached_property
    def _members(self) -> dict[str, dict[int, list[int]]]:
        """Level -> code -> the rows that have it."""
        members: dict[str, dict[int, list[int]]] = {}
        for level in ("session", "study", "patient"):
            codes = self._codes[level]
            own = members.setdefault(level, defaultdict(list))
            for row in np.flatnonzero(codes >= 0).tolist():
                own[int(codes[row])].append(row)
            members[level] = dict(own)
        return members

    @cached_property
    def _path_ids(self) -> list[dict[str, str]]:
        return [self._ids_of(path) for path in self._paths]

    @cached_property
    def _by_owner(self) -> dict[_Path, list[int]]:
        return self._by(lambda ids: (ids.get("patient"),))

    @cached_property
    def _by_visit(self) -> dict[_Path, list[int]]:
        return self._by(lambda ids: (ids.get("patient"), _visit(ids)))

    @cached_property
    def _by_trial(self) -> dict[_Path, list[int]]:
        return self._by(lambda ids: (ids.get("patient"), _visit(ids), ids.get("trial")))

    @cached_property
    def _owners_of_visit(self) -> dict[str, set[str]]:
        owners: dict[str, set[str]] = defaultdict(set)
        for owner, visit in self._by_visit:
            if owner is not None and visit is not None:
                owners[visit].add(owner)
        return owners

    def _by(self, name: Callable[[dict[str, str]], _Path]) -> dict[_Path, list[int]]:
        found: dict[_Path, list[int]] = defaultdict(list)
        for row, ids in enumerate(self._path_ids):
            found[name(ids)].append(row)
        return found


def _visit(ids: dict[str, str]) -> str | None:
    return ids.get("session", ids.get("study"))
