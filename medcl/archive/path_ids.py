"""Patient, session, study, series and trial from the path of a record: by a pattern, or as BIDS names its files."""

import re
from pathlib import PurePosixPath

from medcl.errors import UnreadableError, UsageError

LEVELS = ("patient", "session", "study", "series", "trial")
"""The groups that a pattern of ids may have."""
_BIDS_NAME = re.compile(r"sub-(?P<patient>[A-Za-z0-9]+)(_ses-(?P<session>[A-Za-z0-9]+))?_")


def compile_pattern(text: str) -> re.Pattern[str]:
    """Check a pattern of ids.

    A session of signals and a study of volumes are the same level, one visit of a patient. Where records are numbered
    and every patient has two of them (both sides of a head: 1 and 2, 3 and 4), the group `pair` on the running number
    stands for `patient`.

    Args:
        text: regular expression, searched in the path relative to the archive (with /), with the named group `patient`
            and, where there are such ids, `session` or `study`, `series` and `trial`.

    Returns:
        The compiled pattern.

    Raises:
        UsageError: it is no regular expression, or its groups are others.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"id pattern {text!r} is no regular expression: {error}") from error
    if not {"patient", "pair"} & set(pattern.groupindex):
        raise UsageError(f"id pattern {text!r} has no group (?P<patient>...)")
    foreign = sorted(set(pattern.groupindex) - {*LEVELS, "pair"})
    if foreign:
        raise UsageError(f"id pattern {text!r}: group {foreign[0]!r} is none of {', '.join(LEVELS)}")
    return pattern


def ids_of(path: str, pattern: re.Pattern[str] | None) -> dict[str, str]:
    """The clear ids in a path.

    Args:
        path: relative to the archive, with /.
        pattern: of ids; None looks for the names of BIDS (`sub-01/ses-02/eeg/sub-01_ses-02_task-rest_eeg.edf`).

    Returns:
        Level -> clear id; empty where no pattern is given and the path is not of BIDS.

    Raises:
        UnreadableError: the pattern does not fit, or a BIDS folder and file name different subjects or sessions.
    """
    if pattern is not None:
        match = pattern.search(path)
        ids = {level: value for level, value in match.groupdict().items() if value} if match is not None else {}
        if ids.get("pair", "").isdecimal():
            ids["patient"] = str((int(ids.pop("pair")) + 1) // 2)
        if "patient" not in ids:
            raise UnreadableError("no patient id: the id pattern does not fit the path")
        return ids
    *folders, name = PurePosixPath(path).parts
    match = _BIDS_NAME.match(name)
    if match is None or not any(folder.startswith("sub-") for folder in folders):
        return {}
    ids = {level: value for level, value in match.groupdict().items() if value}
    for level, prefix in (("patient", "sub-"), ("session", "ses-")):
        stated = {folder.removeprefix(prefix) for folder in folders if folder.startswith(prefix)}
        if stated and stated != {ids.get(level)}:
            raise UnreadableError(f"no patient id: the folder and the file name of BIDS differ in {prefix}")
    return ids
