"""How tables are decoded for the store, with codes that hold for all records; and the store, opened for reading."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import MedclError, UnreadableError, UsageError, no_such
from medcl.modality.rows import Ints, Rows
from medcl.modality.storing import Appended, DecodedRecord, Preparation, PreparedRecords, StoredArrays, StoreIndex
from medcl.modality.table.config import TableConfig
from medcl.modality.table.formats.tables import read_table
from medcl.modality.table.record import Floats, PatientTable

VERSION = 1
INDEX = StoreIndex(
    "tables",
    b"medcl-tables",
    VERSION,
    pa.schema(
        [
            ("record_id", pa.string()),
            *((name, pa.int64()) for name in ("shard", "start", "n_rows")),
            ("times", pa.list_(pa.float64())),
            ("notes", pa.list_(pa.string())),
        ]
    ),
)
"""`about`: key, columns, units, classes, quarantine."""
LAYOUT = Appended("{number:05d}.b2nd", "shard", "start", "ZSTD", True, block=1 << 15, blocks=32, largest=1 << 30)


@dataclass(frozen=True, eq=False)
class TableStore(PreparedRecords):
    """Prepared tables, opened for reading; they are numbered in the order of the manifest.

    Args:
        columns: names of the variables, in order.
        units: variable -> unit.
        classes: category -> what its codes stand for.
        times: (R,) of each table the hours of its rows.
        shard: (R,) number of the array that holds it.
        start: (R,) its first row there.
        notes: what is unusual about tables, without details -> number of tables.
    """

    columns: list[str]
    units: dict[str, str]
    classes: dict[str, list[str]]
    times: list[Floats]
    shard: Ints
    start: Ints
    notes: dict[str, int]

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Tables that `prepare` has published."""
        table, about = stored.columns, stored.about
        return cls(
            **cls.shared(stored),
            columns=about["columns"],
            units=about["units"],
            classes=about["classes"],
            times=[np.array(times, dtype=np.float64) for times in table["times"].to_pylist()],
            shard=table["shard"].to_numpy(),
            start=table["start"].to_numpy(),
            notes=dict(Counter(note.split(":")[0] for own in table["notes"].to_pylist() for note in own)),
        )

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} tables, {len(self.columns)} variables"

    def read(self, record: int) -> Floats:
        """One table, (rows, 1 + variables): hours, then values."""
        out = np.empty((len(self.times[record]), 1 + len(self.columns)))
        self.stored.read_into(out, LAYOUT.name.format(number=int(self.shard[record])), (int(self.start[record]), 0))
        return out


opened = TableStore.of
RANKS = 100
"""Quantiles by which a value is ranked."""


_CHUNK = 256  # records a call: those of a file share its reading


def tables(manifest: Rows) -> Iterator[PatientTable]:
    """The records of a manifest as they stand in their files; those that cannot be read are left to the preparation."""
    places = zip(manifest.column("path"), manifest.column("part").tolist(), strict=True)
    for path, part in places:
        with suppress(MedclError, OSError):
            yield read_table(manifest.root / str(path), max(0, part))


def preparation(manifest: Rows, config: TableConfig) -> Preparation:
    """See `Wing.preparation`. Scaling, and how long windows and steps are, do not matter for what is stored."""
    if config.columns is None or config.units is None or config.classes is None:
        config = resolve(tables(manifest), config)
    own = {name: getattr(config, name) for name in ("columns", "units", "classes")}
    settings = [VERSION, own, config.missing, config.window is None]
    n_bytes = manifest.column("n_samples") * (1 + len(config.columns or ())) * 8
    memory = manifest.column("n_samples") * manifest.column("n_channels") * 8
    return Preparation(settings, config, LAYOUT, n_bytes, memory, about=lambda notes: own, chunk=_CHUNK)


def resolve(records: Iterable[PatientTable], config: TableConfig) -> TableConfig:
    """Fill in what a configuration leaves to the records: variables, their units and the classes of categories.

    Returns:
        The configuration, complete but for `scale`.

    Raises:
        UsageError: it names a variable that no record has, or there is none.
    """
    config.check()
    # The records of a file share their variables, which may be tens of thousands: each tuple is looked through once.
    groups: dict[int, tuple[PatientTable, int]] = {}
    words: dict[str, set[str]] = {}
    for record in records:
        first, count = groups.get(id(record.variables), (record, 0))
        groups[id(record.variables)] = first, count + 1
        for number, variable in enumerate(record.variables if config.categories else ()):
            if variable.classes is None and variable.name in (config.categories or ()):
                words.setdefault(variable.name, set()).update(_words(_present(record, number, config)))
    units: dict[str, Counter[str]] = {}
    texts, usable = set[str](), set[str]()
    for record, count in groups.values():
        usable |= {variable.name for variable in record.variables} - record.unusable.keys()
        for variable in record.variables:
            units.setdefault(variable.name, Counter())[variable.unit] += count
            if variable.classes is not None:
                words.setdefault(variable.name, set()).update(variable.classes)
                texts |= set() if variable.levels else {variable.name}
    taken = [name for name in units if name in usable and (name not in texts or name in (config.categories or ()))]
    named = _named(config.columns or (), list(units), taken)
    for name in (*named, *(config.categories or ())):
        if name not in units:
            raise UsageError(f"data.columns: {no_such('variable', name, list(units))}")
    wanted = named or taken
    if not wanted:
        raise UsageError("data.columns: the records have no variable of numbers; name the categories that are wanted")
    known_units = {name: _commonest(units[name]) for name in wanted}
    classes = {name: sorted(words[name]) for name in wanted if words.get(name)}
    return replace(
        config,
        columns=list(wanted),
        units=config.units if config.units is not None else {name: unit for name, unit in known_units.items() if unit},
        classes=config.classes if config.classes is not None else classes,
    )


def _named(columns: Iterable[str], every: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Variables by their names and by patterns such as `ENSG*`, each once; a pattern takes what can be used.

    Raises:
        UsageError: no variable fits a pattern.
    """
    found: list[str] = []
    for one in columns:
        if one in every or not set("*?[") & set(one):
            found.append(one)
            continue
        fitting = [name for name in taken if fnmatchcase(name, one)]
        if not fitting:
            raise UsageError(f"data.columns: no usable variable fits {one!r}; there are {', '.join(every[:5])}, ...")
        found += fitting
    return list(dict.fromkeys(found))


def decode(record: PatientTable, config: TableConfig) -> DecodedRecord:
    """Bring a record into the order and the codes of a configuration.

    Args:
        record: as its reader returns it.
        config: that `resolve` completed.

    Returns:
        (rows, 1 + variables) float64: hours, NaN in a table without times, then the values; no row is empty. Its
        columns: `n_rows`; `times` (rows,) hours; `notes`, what is unusual, in words.

    Raises:
        UnreadableError: a variable wanted is unusable, in another unit or of another kind, a category is unknown, or no
            value is left.
    """
    if config.columns is None or config.units is None or config.classes is None:
        raise MedclError("a table is decoded with a configuration that is complete")
    column = {name: number for number, name in enumerate(config.columns)}
    values = np.full((len(record.values), len(column)), np.nan)
    broken = next((name for name in config.columns if name in record.unusable), None)
    if broken is not None:
        raise UnreadableError(f"{record.unusable[broken]}; or leave it out of data.columns")
    there = [number for number, variable in enumerate(record.variables) if variable.name in column]
    values[:, [column[record.variables[number].name] for number in there]] = record.values[:, there]
    special = config.classes.keys() | (config.missing or {}).keys()
    for number in there:
        variable = record.variables[number]
        differs = variable.unit and variable.unit != config.units.get(variable.name, variable.unit)
        if differs or variable.classes is not None or variable.name in special:
            values[:, column[variable.name]] = _column(record, number, config)
    rows = ~np.isnan(values).all(axis=1)
    if not rows.any():
        raise UnreadableError("no value: all variables wanted are missing")
    if (config.window is not None) != (record.times is not None):
        raise UnreadableError(
            "a table with times: set data.window, the hours of a sample"
            if record.times is not None
            else "a table without times: data.window is for tables with times"
        )
    times = np.full(len(values), np.nan) if record.times is None else record.times
    data = np.column_stack([times, values])[rows]
    return DecodedRecord({None: data}, {"n_rows": len(data), "times": data[:, 0], "notes": list(record.flags)})


def fitted(records: Iterable[PatientTable], config: TableConfig) -> TableConfig:
    """The configuration with the scale of training records; those that cannot be decoded do not count."""
    data, reasons = [], []
    for record in records:
        try:
            data.append(decode(record, config).arrays[None])
        except UnreadableError as error:
            reasons.append(str(error))
    if not data:
        first = f"; the first: {reasons[0]}" if reasons else ""
        raise MedclError(f"no table to scale by: none of the training records can be decoded{first}")
    return replace(config, scale=fit_scale(data, config))


def fit_scale(values: Iterable[Floats], config: TableConfig) -> dict[str, list[float]]:
    """What is subtracted from each variable of numbers, and what it is then divided by.

    `values` are (rows, 1 + variables) of each training record, hours first.

    Returns:
        Variable -> [centre, spread]; a spread of 0 is that of a variable that never changes, or has no value. Of `rank`
        the quantiles in the middle of `RANKS` equal shares of its values, ascending.
    """
    rows = np.concatenate([one[:, 1:] for one in values])
    scale = {}
    for column, name in enumerate(config.columns or ()):
        known = rows[:, column][~np.isnan(rows[:, column])]
        if name in (config.classes or {}) or config.scaling == "none":
            continue
        if not len(known):
            scale[name] = [0.0, 0.0]
        elif config.scaling == "rank":
            scale[name] = np.quantile(known, (np.arange(RANKS) + 0.5) / RANKS).tolist()
        elif config.scaling == "z-score":
            scale[name] = [float(known.mean()), float(known.std())]
        else:
            low, high = (float(one) for one in np.percentile(known, (1, 99)))
            scale[name] = [(low + high) / 2, (high - low) / 2]
    return scale


def _column(record: PatientTable, number: int, config: TableConfig) -> Floats:
    """Values of a variable; of a category its codes in the configuration."""
    variable = record.variables[number]
    name, values = variable.name, _present(record, number, config)
    expected = (config.units or {}).get(name, "")
    if variable.unit and expected and variable.unit != expected and variable.classes is None:
        raise UnreadableError(
            f"variable {name!r}: in {variable.unit} here, in {expected} elsewhere; convert it, or name it anew"
        )
    classes = (config.classes or {}).get(name)
    there = ~np.isnan(values)
    if classes is None:
        if variable.classes is not None and there.any():
            raise UnreadableError(f"variable {name!r}: text here, numbers elsewhere")
        return values
    code = {word: float(number) for number, word in enumerate(classes)}
    words = _words(values[there]) if variable.classes is None else [variable.classes[int(one)] for one in values[there]]
    if any(word not in code for word in words):
        raise UnreadableError(f"variable {name!r}: a category that is not among the {len(code)} known ones")
    values[there] = [code[word] for word in words]
    return values


def _present(record: PatientTable, number: int, config: TableConfig) -> Floats:
    values = record.values[:, number].copy()
    values[np.isin(values, (config.missing or {}).get(record.variables[number].name, []))] = np.nan
    return values


def _words(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:g}" for value in values[~np.isnan(values)]]


def _commonest(units: Counter[str]) -> str:
    """The unit that most records state; of equally many the first in order."""
    known: Sequence[tuple[str, int]] = [(unit, count) for unit, count in units.items() if unit]
    return min(known, key=lambda one: (-one[1], one[0]))[0] if known else ""
