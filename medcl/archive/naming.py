"""Which records a cell of a table, the name of a file, or the id of a patient means."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from medcl.archive.identity import code
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError
from medcl.modality.formats import SERIES, without_suffix


class RecordNames:
    """The names of a manifest's records.

    A record goes by its path relative to the manifest's root, with or without suffix, or by its file's name or stem
    where no other record has it. The DICOM volumes and images of a folder go by its path.

    Args:
        manifest: scanned records; a name means row numbers of it.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.paths = [str(path) for path in manifest.column("path")]
        self._of_path: dict[str, list[int]] = defaultdict(list)
        self._of_root: dict[str, str] = {}
        self._of_name: dict[str, set[str]] = defaultdict(set)
        for i, path in enumerate(self.paths):
            self._of_path[path].append(i)
            name = path.rpartition("/")[2]
            stem = without_suffix(name)
            self._of_root[path[: len(path) - len(name)] + stem] = path
            self._of_name[name].add(path)
            self._of_name[stem].add(path)
        self._folders = _folders(manifest, self.paths)

    def rows(self, key: str) -> Sequence[int]:
        """The records that a key means.

        Args:
            key: path, stem or folder; a backslash is read as /.

        Returns:
            Row numbers: several where a file holds several volumes or the key is a folder of DICOM; none where no
            record has that name.

        Raises:
            MedclError: it is the file name of records in several folders.
        """
        key = key.replace("\\", "/").removeprefix("./")
        path = key if key in self._of_path else self._of_root.get(key)
        if path is not None:
            return self._of_path[path]
        if key.rstrip("/") in self._folders:
            return self._folders[key.rstrip("/")]
        named = self._of_name.get(PurePosixPath(key).name, set())
        if len(named) > 1:
            raise MedclError(f"the name of {len(named)} records; give their paths")
        return [row for one in named for row in self._of_path[one]]


class PatientNames:
    """The patients of a manifest's records, by the ids that their files, headers or paths state.

    Args:
        manifest: scanned records; an id means row numbers of it.
        salt: of the codes.
    """

    def __init__(self, manifest: Manifest, salt: bytes) -> None:
        self._salt = salt
        self._of_patient: dict[int, list[int]] = defaultdict(list)
        for i, patient in enumerate(manifest.table.column("patient").to_pylist()):
            if patient is not None:
                self._of_patient[patient].append(i)

    def rows(self, key: str) -> Sequence[int]:
        """The records of a patient; BIDS writes `sub-01` of the patient that a path names `01`."""
        for name in (key, key.removeprefix("sub-")):
            if rows := self._of_patient.get(code("patient", name, self._salt)):
                return rows
        return ()


def _folders(manifest: Manifest, paths: Sequence[str]) -> dict[str, list[int]]:
    """Folder -> the DICOM records whose files are in it."""
    folders: dict[str, list[int]] = defaultdict(list)
    if manifest.has("format"):
        for i, (form, path) in enumerate(zip(manifest.column("format"), paths, strict=True)):
            if form in SERIES:
                folders[str(PurePosixPath(path).parent)].append(i)
    return folders
