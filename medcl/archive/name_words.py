"""The words of name fields, as codes: so that a vocabulary can leave them out and nobody can read them."""

import re
import warnings
from collections.abc import Callable, Iterable

from medcl.archive.deid_known import folded
from medcl.archive.identity import code
from medcl.archive.manifest import Manifest

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
