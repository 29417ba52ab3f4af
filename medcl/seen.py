"""The patients that a run or a model has seen, as salted hashes: what a later leak is found by."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medcl import files
from medcl.errors import MedclError, reason


@dataclass(frozen=True)
class SeenPatients:
    """Salted hashes of the patients that a run was trained on.

    Args:
        salt: of this run, so that hashes of two runs cannot be joined.
        coded_with: fingerprint of the salt that coded the manifest's patients; codes of another salt cannot be
            compared.
        hashes: one a patient.
    """

    salt: str
    coded_with: str
    hashes: frozenset[str]

    @classmethod
    def of(cls, codes: Iterable[int], coded_with: str) -> "SeenPatients":
        """Hash the codes of `codes` with a new salt."""
        salt = secrets.token_hex(16)
        return cls(salt, coded_with, frozenset(_hash(salt, code) for code in codes))

    def joined(self, codes: Iterable[int]) -> "SeenPatients":
        """These patients and others, whose codes are those of the same manifest's salt."""
        return replace(self, hashes=self.hashes | {_hash(self.salt, code) for code in codes})

    def among(self, codes: np.ndarray) -> np.ndarray:
        """Which of the patient codes (n,) were trained on, as (n,) bool."""
        unique, inverse = np.unique(codes, return_inverse=True)
        seen = np.array([_hash(self.salt, int(code)) in self.hashes for code in unique], dtype=bool)
        return seen[inverse]

    def write(self, path: Path) -> None:
        """Write one hash a line under a line that names both salts."""
        lines = [f"# salt={self.salt} coded-with={self.coded_with}", *sorted(self.hashes)]
        files.write(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: Path) -> "SeenPatients":
        """Read what `write` wrote.

        Raises:
            MedclError: if the file is not one of these.
        """
        try:
            first, *hashes = path.read_text(encoding="utf-8").splitlines() or [""]
        except (OSError, UnicodeError) as error:
            raise MedclError(f"{path}: the list of seen patients {reason(error)}") from error
        words = dict(word.split("=", 1) for word in first.removeprefix("# ").split() if "=" in word)
        if not {"salt", "coded-with"} <= words.keys():
            raise MedclError(f"{path}: not a list of seen patients (its first line must name the salt)")
        return cls(words["salt"], words["coded-with"], frozenset(hashes))


def _hash(salt: str, code: int) -> str:
    return hashlib.blake2b(str(code).encode(), key=bytes.fromhex(salt), digest_size=8).hexdigest()
