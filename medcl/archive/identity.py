"""Codes instead of clear ids: the same patient is the same number here and nobody elsewhere."""

import hashlib
import math
import os
import re
import secrets
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from medcl.archive.deidentify import folded
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError, cause

PUBLIC_SALT = b"medcl public ids"
"""The salt of data sets whose ids are public: their codes are the same at every site."""
_SHORTEST = 8  # bytes of a salt; below, codes could be undone by trying every salt
_LEAST = 16  # bits of a salt as estimated here; common words and repetitions have fewer
_COMMON = (
    "password passwort motdepasse contrasena secret geheim salt salz medcl changeme default example test testing admin "
    "administrator root hospital klinik clinic patient patients qwerty qwertz azerty asdf letmein welcome abc xyz "
    "hello foo bar baz demo site none null"
)
_SPELLED = str.maketrans(
    {"a": "[a4@]", "e": "[e3]", "i": "[i1!]", "l": "[l1]", "o": "[o0]", "s": "[s5$]", "t": "[t7+]", "z": "[z2]"}
)
_COMMON_WORD = re.compile("|".join(word.translate(_SPELLED) for word in sorted(_COMMON.split(), key=len, reverse=True)))
_TO_MAKE = "python -c 'import secrets; print(secrets.token_hex(32))'"


def code(level: str, clear_id: str, salt: bytes) -> int:
    """Code an id.

    Args:
        level: of the hierarchy (`patient`, `session`, `trial`), so that equal texts of two levels differ.
        clear_id: as the file or table has it; surrounding space and the Unicode form do not matter.
        salt: secret of the site. Without it nobody can try names or numbers until the code fits.

    Returns:
        A non-negative int64: 63 bits of the keyed BLAKE2b hash. Among a million ids two share a code with a
        probability of 5e-8.
    """
    return int.from_bytes(_digest(level, clear_id, salt, 8), "big") & (2**63 - 1)


def record_code(path: str, salt: bytes) -> str:
    """Code the path of a record, which may hold a name.

    Args:
        path: relative to the archive's root.
        salt: secret of the site.

    Returns:
        16 hexadecimal digits.
    """
    return _digest("record", path, salt, 8).hex()


def fingerprint(salt: bytes) -> str:
    """Tell salts apart without giving them away.

    Args:
        salt: secret of the site.

    Returns:
        12 hexadecimal digits.
    """
    return _digest("fingerprint", "", salt, 6).hex()


def site_salt() -> bytes:
    """The secret of this site: `MEDCL_SALT`, or else `~/.config/medcl/salt`, made at first use for this user alone.

    Returns:
        At least 8 bytes.

    Raises:
        UsageError: the salt is too short or easily guessed, or its file cannot be read or made.
    """
    given = os.environ.get("MEDCL_SALT")
    if given is not None:
        return _hard_to_guess(given.strip().encode("utf-8", "surrogateescape"), "MEDCL_SALT")
    path = Path.home() / ".config" / "medcl" / "salt"
    try:
        if not path.exists():
            _make(path)
        return _hard_to_guess(path.read_bytes().strip(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: the salt of the ids cannot be kept ({cause(error)}): set MEDCL_SALT") from error


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"salt.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    try:
        # Of two processes that start together one links its draft, and both then read that one.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _hard_to_guess(salt: bytes, place: str) -> bytes:
    """Refuse a salt with which anybody could code names until one fits."""
    if len(salt) < _SHORTEST:
        raise UsageError(
            f"{place}: the salt has {len(salt)} bytes, at least {_SHORTEST} are needed; make one: {_TO_MAKE}"
        )
    if _bits(salt) < _LEAST:
        raise UsageError(
            f"{place}: the salt is easily guessed: it repeats, counts up, or is a common word; make one: {_TO_MAKE}"
        )
    return salt


def _bits(salt: bytes) -> float:
    """About how many bits it takes to guess a salt: what repeats, counts on or is a common word adds next to none."""
    text = salt[:256].decode("latin-1").casefold()
    text = _COMMON_WORD.sub(lambda found: found[0][0], text)
    # What has been there before, forwards, is as good as one letter.
    kept = ""
    for i, letter in enumerate(text):
        before = text[i - 1] if i else ""
        counts_on = before != "" and ord(letter) - ord(before) in (-1, 0, 1)
        if not counts_on and text[max(0, i - 1) : i + 1] not in text[: max(0, i - 1) + 1]:
            kept += letter
    distinct = len(set(text))
    return len(kept) * math.log2(max(distinct, 1))


def _digest(level: str, clear_id: str, salt: bytes, size: int) -> bytes:
    text = unicodedata.normalize("NFC", clear_id.strip())
    # A key has at most 64 bytes, a salt as many as it likes.
    key = hashlib.blake2b(salt).digest()
    return hashlib.blake2b(f"{level}\0{text}".encode("utf-8", "surrogateescape"), digest_size=size, key=key).digest()


_LETTERS = re.compile(r"[^\W\d_]{2,}")
_LEVEL, _PROBE = "name", "\0probe"


def name_codes(values: Iterable[str], salt: bytes) -> list[int]:
    """The codes of the words of names.

    Args:
        values: of name fields; those with digits are ids or addresses and are passed over.
        salt: of the site.

    Returns:
        Ascending; the first word stands for the salt, so that another one is noticed.
    """
    plain = (value for value in values if not any(map(str.isdigit, value)))
    words = {folded(word) for value in plain for word in _LETTERS.findall(value)}
    return [code(_LEVEL, _PROBE, salt), *sorted(code(_LEVEL, word, salt) for word in words)]


def is_name(manifest: Manifest, salt: bytes) -> Callable[[str], bool]:
    """Tells whether a word stood in a name field of the reports of a manifest, in whatever spelling.

    Args:
        manifest: with reports; one of before names were coded knows none.
        salt: of the site. With another one than that of the scan no name can be told, which is warned of.
    """
    codes = manifest.metadata.get("reports", {}).get("names") or []
    if codes and codes[0] != code(_LEVEL, _PROBE, salt):
        warnings.warn(
            "the archive was scanned with another salt (MEDCL_SALT): words of its name fields are not kept out of the "
            "vocabulary, only words of few patients",
            stacklevel=2,
        )
        codes = []
    known = frozenset(codes[1:])
    return lambda word: bool(known) and code(_LEVEL, folded(word), salt) in known
