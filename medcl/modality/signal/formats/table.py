"""Recordings as tables, CSV, TSV and Parquet: a column a channel, a row a sample."""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign
from medcl.modality.signal.channels import VOLTS, canonical_unit
from medcl.modality.signal.config import Stated
from medcl.modality.signal.formats.arrays import Description, array_header, array_signal, sidecar
from medcl.modality.signal.record import Signal, SignalHeader

_HEAD = 1 << 16  # bytes by which a table is known as a recording
_SHORTEST = 16  # rows of a recording
_TIME = re.compile(r"(time|t|timestamp|seconds?|sec|s)[\s_]*[\[(]?\s*(?P<unit>s|sec|seconds|ms|us)?\s*[\])]?", re.I)
_SECONDS = {"ms": 1e-3, "us": 1e-6}
_COUNTS = {"", "index", "sample", "samples", "sample_index", "n", "unnamed: 0"}
_UNIT = re.compile(r"(?P<name>.*\S)[\s_]*[\[(](?P<unit>[^\])]*)[\])]")
_NOTHING = ["", "NaN", "nan", "NA", "N/A", "n/a", "null"]


@dataclass(frozen=True)
class _Columns:
    """The columns of a table.

    Args:
        names: of all, as stated.
        time: name of the one with the time; None if there is none.
        factor: seconds that its numbers count.
        channels: names of those with samples.
    """

    names: tuple[str, ...]
    time: str | None
    factor: float
    channels: tuple[str, ...]


def is_recording(path: Path, stated: Stated) -> bool:
    """Whether a table is a recording: nothing but numbers, and the user states a rate or a column is an even time.

    Most tables of an archive hold labels; those are no recordings.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        table = _first_rows(path)
    except (pa.ArrowException, UnicodeError, ValueError, IndexError):
        return False
    except OSError as error:
        # Arrow reports what is damaged in a file as if the system did.
        if error.errno is not None:
            raise
        return False
    if len(table) < _SHORTEST or not all(_is_number(field.type) for field in table.schema):
        return False
    columns = _columns(table.column_names)
    if not columns.channels:
        return False
    if columns.time is None:
        return stated.sampling_rate is not None
    try:
        _rate(table.column(columns.time).to_numpy(zero_copy_only=False), columns.factor)
    except UnreadableError:
        return False
    return True


def read_header(path: Path, stated: Stated) -> SignalHeader:
    """Read what is known of a recording; what the user stated counts where neither the table nor a side-car says it.

    A column `time`, in s or, named so, ms, gives the rate; a unit may stand behind the name of a channel: `Fp1 (uV)`.

    Raises:
        UnreadableError: a cell that is no number, time that jumps, or not enough is known.
    """
    columns = _columns(_names(path))
    length, rate = 0, None
    with foreign("pyarrow", "tables"):
        if columns.time is None:
            length = sum(len(batch) for batch in _batches(path, columns.channels[:1]))
        else:
            time = _read(path, [columns.time])[0]
            length, rate = len(time), _rate(time, columns.factor)
    return _header(path, stated, columns, length, rate)[0]


def read_signal(path: Path, stated: Stated) -> Signal:
    """Read the recording; errors as of `read_header`.

    Returns:
        Physical values, float32: voltages in uV (those of an ECG in mV), others as they are; NaN in empty cells.
    """
    columns = _columns(_names(path))
    with foreign("pyarrow", "tables"):
        values = _read(path, columns.channels if columns.time is None else [*columns.channels, columns.time])
        rate = None if columns.time is None else _rate(values[-1], columns.factor)
    values = values[: len(columns.channels)]
    header, kept = _header(path, stated, columns, values.shape[1], rate)
    return array_signal(header, kept, False, values)


def _header(
    path: Path, stated: Stated, columns: _Columns, length: int, rate: float | None
) -> tuple[SignalHeader, list[int]]:
    names, units = zip(*map(_name_and_unit, columns.channels), strict=True)
    own = Description(rate, tuple(names) if not _is_bare(columns) else ())
    beside, files = sidecar(path)
    known = own.or_else(beside).or_else(stated)
    if any(unit in VOLTS for unit in units):
        rest = known.units if len(known.units) in (0, len(units)) else known.units * len(units)
        filled = [unit if unit in VOLTS else (rest[i] if rest else "") for i, unit in enumerate(units)]
        known = Description(known.sampling_rate, known.channels, tuple(filled))
    if length <= len(names):
        raise UnreadableError(f"a table of {length} rows and {len(names)} channels: no recording")
    form = "table"
    header, kept, _ = array_header(path, form, (len(names), length), known, files)
    return header, kept


def _name_and_unit(name: str) -> tuple[str, str]:
    """`Fp1` and `uV` of `Fp1 (uV)`; a unit that is no voltage stays a part of the name."""
    found = _UNIT.fullmatch(name)
    unit = canonical_unit(found["unit"]) if found else ""
    return (found["name"], unit) if found and unit in VOLTS else (name, "")


def _is_bare(columns: _Columns) -> bool:
    """Whether the table has no row of names: they were made up, 0, 1, 2, ..."""
    return all(re.fullmatch(r"f\d+", name) for name in columns.names)


def _columns(names: Sequence[str]) -> _Columns:
    time = next((name for name in names if _TIME.fullmatch(name.strip())), None)
    found = _TIME.fullmatch(time.strip()) if time is not None else None
    factor = _SECONDS.get((found["unit"] or "s").lower(), 1.0) if found else 1.0
    channels = tuple(name for name in names if name != time and name.strip().lower() not in _COUNTS)
    return _Columns(tuple(names), time, factor, channels)


def _rate(time: NDArray[np.float64], factor: float) -> float:
    """Samples a second of an even time; each sample has to be within half a step of where it belongs."""
    count = len(time) - 1
    step = (time[-1] - time[0]) / count if count > 0 else 0.0
    if not (np.isfinite(time).all() and step > 0):
        raise UnreadableError("unknown sampling rate: the column of time has gaps, or does not rise")
    if (np.abs(time - time[0] - step * np.arange(len(time))) > step / 2).any():
        raise UnreadableError("uneven sampling: the column of time jumps; save each stretch as a table of its own")
    rate = float(1 / (step * factor))
    # Times are printed to some digits: within what these leave open, a whole number is meant.
    return float(round(rate)) if abs(rate - round(rate)) <= rate / (2 * count) and round(rate) else rate


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _first_rows(path: Path) -> pa.Table:
    if _is_parquet(path):
        file = pq.ParquetFile(path)
        fields = [field for field in file.schema_arrow if not _is_number(field.type)]
        return (
            file.schema_arrow.empty_table()
            if fields
            else next(
                (pa.Table.from_batches([one]) for one in file.iter_batches(4096)), file.schema_arrow.empty_table()
            )
        )
    with path.open("rb") as opened:
        text = opened.read(_HEAD)
    # The last line may be cut.
    text = text[: text.rfind(b"\n") + 1] if len(text) == _HEAD else text
    return pc.read_csv(io.BytesIO(text), *_options(text))


def _names(path: Path) -> list[str]:
    with foreign("pyarrow", "tables"):
        names = list(_first_rows(path).column_names)
    if len(set(names)) < len(names):
        raise UnreadableError("two columns of one name: rename them")
    return names


def _batches(path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The table in pieces, float64."""
    if _is_parquet(path):
        yield from pq.ParquetFile(path).iter_batches(columns=list(names))
        return
    with path.open("rb") as file:
        read, parse, convert = _options(file.read(_HEAD))
    convert.include_columns = list(names)
    convert.column_types = {name: pa.float64() for name in names}
    with pc.open_csv(path, read, parse, convert) as reader:
        yield from reader


def _read(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """(columns, rows)."""
    table = pa.Table.from_batches(_batches(path, names))
    columns: list[Any] = [table.column(name).cast(pa.float64()).to_numpy() for name in names]
    return np.stack(columns)


def _options(text: bytes) -> tuple[pc.ReadOptions, pc.ParseOptions, pc.ConvertOptions]:
    """How a text is divided, by its first lines: the separator, the decimal mark, and whether there are names."""
    lines = text.lstrip(b"\xef\xbb\xbf").splitlines()
    first = lines[0].decode("utf-8")
    separator = max(";\t,", key=first.count)
    comma = separator != "," and any(re.search(rb"\d,\d", line) for line in lines[1:3])
    bare = all(re.fullmatch(r"\s*[-+]?[\d.,]+([eE][-+]?\d+)?\s*", cell) for cell in first.split(separator))
    return (
        pc.ReadOptions(autogenerate_column_names=bare),
        pc.ParseOptions(delimiter=separator),
        pc.ConvertOptions(decimal_point="," if comma else ".", null_values=_NOTHING),
    )
