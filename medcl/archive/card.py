"""Data-set cards: where a public data set is, under which licence, and how it becomes a manifest."""

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from os.path import normpath
from pathlib import Path
from typing import Any, Literal

from medcl.archive.config import Modality
from medcl.archive.masks import MaskRule
from medcl.archive.report_read import ReportRule
from medcl.documents import read_yaml
from medcl.errors import UsageError, did_you_mean
from medcl.modality.signal.config import Stated

_QUOTED = 60  # characters of a wrong value that an error repeats


@dataclass(frozen=True)
class Lookup:
    """A second table that turns codes into classes.

    Args:
        file: table, relative to the data set's folder.
        key: column of the codes; empty text names a column without a heading.
        value: column of the classes; a code with an empty cell has none.
        where: column -> text that a row must hold to be used.
    """

    file: str
    key: str
    value: str
    where: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CardTarget:
    """How a column of the table becomes a label.

    Args:
        column: column of the table.
        kind: what is predicted.
        classes: names of the classes in order; of a binary target the second is the positive one. Not for regression.
        parse: how a cell is read: `text` is one value, `separated` several (multilabel), `dict` the keys of a Python
            dictionary written as text (multilabel).
        separator: between the values of a `separated` cell.
        values: value -> class, where the table uses codes.
        unknown: values that mean "not known".
        lookup: a second table that turns the values into classes.
        empty: what a multilabel cell without any class means: `unlabelled`, or `negative` for every class.
    """

    column: str
    kind: Literal["binary", "multiclass", "multilabel", "regression"]
    classes: tuple[str, ...] = ()
    parse: Literal["text", "separated", "dict"] = "text"
    separator: str = "|"
    values: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    lookup: Lookup | None = None
    empty: Literal["unlabelled", "negative"] = "unlabelled"

    def __post_init__(self) -> None:
        if self.kind == "regression" and self.classes:
            raise UsageError("a regression target has no classes")
        if self.kind == "binary" and len(self.classes) != 2:
            raise UsageError("a binary target has two classes, the second of them the positive one")
        if self.kind in ("multiclass", "multilabel") and not self.classes:
            raise UsageError(f"a {self.kind} target needs its classes")
        if (self.parse != "text") != (self.kind == "multilabel"):
            raise UsageError("a multilabel target, and only that, is read as `separated` or `dict`")


@dataclass(frozen=True)
class CardTable:
    """The table that describes the records.

    Args:
        file: CSV, TSV, Parquet, JSON or JSON lines, relative to the data set's folder; several files of one table as a
            list or a glob, whose column `{file}` is the stem of each row's file.
        key: column that names the record: its path with or without suffix, its stem, or the folder of a DICOM series.
        patient: column of the patient id; None keeps the ids that the scan found.
        modality: column of the modality, for a set that mixes them; an empty cell leaves the card's.
        modality_values: value of that column -> modality, where it is not the modality in capitals or small letters.
    """

    file: str | tuple[str, ...]
    key: str
    patient: str | None = None
    modality: str | None = None
    modality_values: dict[str, Modality] = field(default_factory=dict)


@dataclass(frozen=True)
class Folds:
    """The official split.

    Args:
        column: column of the table that holds the fold: `{file}` where every split is a file of its own.
        train: folds to train on.
        val: folds to choose on.
        test: folds to test on.
    """

    column: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        every = (*self.train, *self.val, *self.test)
        twice = sorted({fold for fold in every if every.count(fold) > 1})
        if twice:
            raise UsageError(f"fold {', '.join(twice)} is in two splits")


@dataclass(frozen=True)
class DatasetCard:
    """A data set as medcl needs to know it.

    Args:
        name: short name.
        version: of the data set.
        source: where it is published.
        licence: under which it is.
        citation: what to cite.
        modality: of its records; of signals, NIfTI and images, which do not state it.
        records: glob of the files that are records, relative to the data set's folder.
        unit: that its signals are in; a file that states another is quarantined, one that states none is in this one.
        sampling_rate: Hz, of signals whose files do not state it.
        channels: names of the channels of signals whose files name none, in their order.
        public_ids: whether patient and record ids are public and may be kept in clear.
        id_pattern: regular expression on the path with the groups patient, and if any session or study, series, trial.
        masks: where the label maps of its volumes are.
        table: that describes the records.
        targets: name -> how it is read from the table.
        folds: the official split.
        missing: words of its tables for a missing value, beside the usual ones (`n/a`, `unknown`, `.`).
        reports: where its reports are; a rule without `files` and `table` means columns of the card's own table.
        notes: the published protocol and what to beware of.
    """

    name: str
    version: str
    source: str
    licence: str
    citation: str
    modality: Modality
    records: str = "**"
    unit: Literal["mV", "uV", "V"] | None = None
    sampling_rate: float | None = None
    channels: tuple[str, ...] = ()
    public_ids: bool = False
    id_pattern: str | None = None
    masks: MaskRule | None = None
    table: CardTable | None = None
    targets: dict[str, CardTarget] = field(default_factory=dict)
    folds: Folds | None = None
    missing: tuple[str, ...] = ()
    reports: tuple[ReportRule, ...] = ()
    notes: str = ""

    @property
    def stated(self) -> Stated:
        """What holds for signals whose files leave it open."""
        return Stated(self.sampling_rate, self.channels, self.unit or "")

    def __post_init__(self) -> None:
        if self.table is None and (self.targets or self.folds):
            raise UsageError("targets and folds are columns of a table: the card has no `table`")
        rules = []
        for i, rule in enumerate(self.reports):
            if rule.files is None and rule.table is None:
                if self.table is None:
                    raise UsageError(
                        f"reports[{i}] is of no `files` and no `table`, and the card has no `table` either"
                    )
                rule = replace(rule, table=self.table.file, key=rule.key or self.table.key)
            rules.append(rule)
        object.__setattr__(self, "reports", tuple(rules))


def load(path: Path | str) -> DatasetCard:
    """Read a card.

    Args:
        path: YAML file.

    Returns:
        The card.

    Raises:
        UsageError: no such file, not YAML, or a key that is unknown, missing or of the wrong type, with its name.
    """
    content = read_yaml(path, "card")
    try:
        card = _build(DatasetCard, content, "")
    except UsageError as error:
        raise UsageError(f"card {path}: {error}") from error
    assert isinstance(card, DatasetCard)
    return card


def inside(folder: Path, name: str) -> Path:
    """The path of a table that a card names.

    Args:
        folder: of the data set.
        name: relative to it, or absolute.

    Raises:
        UsageError: it leads out of the folder by `..`, where no one expects a card to read.
    """
    if normpath(name).split("/")[0] == "..":
        raise UsageError(
            f"the table {name} lies outside the folder of the data set: put it inside, or give its absolute path"
        )
    return folder / name


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn what YAML holds into the annotated type, or refuse it by the name of its key."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, value, where)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        # Of a text or a list of texts, what is written decides.
        options = [option for option in arguments if option is not type(None)]
        fits = [option for option in options if isinstance(value, list) == (typing.get_origin(option) is tuple)]
        return _build((fits or options)[0], value, where)
    if origin is Literal:
        # A list or mapping in the place of a word has no hash, and is none of them.
        if not isinstance(value, str) or value not in arguments:
            raise UsageError(f"{where} is {_shown(value)}, allowed are {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where} has to be a list, not {_shown(value)}")
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise UsageError(f"{where} has to be a mapping, not {_shown(value)}")
        return {_build(str, k, f"a key of {where}"): _build(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    # YAML reads 1.0.3 as text but 1 as a number: codes and folds are text here, whichever way they were written.
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise UsageError(f"{where} has to be {kind.__name__}, not {_shown(value)}")
    return value


def _build_dataclass(kind: type, value: Any, where: str) -> Any:
    prefix = f"{where}." if where else ""
    if not isinstance(value, dict):
        raise UsageError(f"{where or 'it'} has to be a mapping with keys, not {_shown(value)}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = [str(key) for key in value if key not in fields]
    if unknown:
        hint = did_you_mean(unknown[0], fields)
        raise UsageError(f"unknown key {prefix}{_shown(unknown[0], str)}; known are {', '.join(fields)}{hint}")
    needed = [name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    missing = [name for name in needed if name not in value]
    if missing:
        raise UsageError(f"key {prefix}{missing[0]} is missing")
    built = {name: _build(hints[name], item, prefix + name) for name, item in value.items()}
    try:
        return kind(**built)
    except UsageError as error:
        raise UsageError(f"{where}: {error}" if where else str(error)) from error


def _shown(value: Any, form: Callable[[Any], str] = repr) -> str:
    """A value as an error quotes it: its beginning."""
    text = form(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
