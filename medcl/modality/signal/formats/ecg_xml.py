"""ECGs in XML files: read without anything that XML can do beyond holding text, and made recordings of leads."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import numbered
from medcl.modality.signal.formats.channel_choice import Channel, choose, physical_signal
from medcl.modality.signal.record import Signal, SignalHeader

_LARGEST = 1 << 26  # bytes; an ECG of ten seconds takes 200 kB
_DEEPEST = 64


def parse(path: Path) -> Element:
    """Read an XML file.

    A DOCTYPE that only names a DTD, as GE MUSE writes, is passed over: nothing is fetched.

    Returns:
        Its root; names of elements and attributes are without their namespaces.

    Raises:
        UnreadableError: entities, a DTD inside, not well-formed, very deep or very large.
    """
    if path.stat().st_size > _LARGEST:
        raise UnreadableError(f"an XML file of more than {_LARGEST >> 20} MiB: no recording of an ECG")
    builder, parser = TreeBuilder(), expat.ParserCreate(namespace_separator="}")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise UnreadableError(f"XML with elements more than {_DEEPEST} deep: no recording")
        builder.start(_bare(name), {_bare(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_bare(name))

    def doctype(name: str, system: str | None, public: str | None, has_internal: int) -> None:
        if has_internal:
            refuse()

    def refuse(*_: Any) -> None:
        raise UnreadableError("XML with a DTD inside, which can name other files or multiply itself: not read")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = doctype, refuse
    parser.buffer_text = True
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
        return builder.close()
    except expat.ExpatError as error:
        raise UnreadableError(f"not well-formed XML: line {error.lineno}, column {error.offset}") from None
    except (LookupError, ValueError, AssertionError):
        raise UnreadableError("XML in an encoding that is not known: convert it to UTF-8") from None


def text(element: Element, path: str) -> str:
    """The text of the first element at a path, without the space around it; empty if there is none."""
    return (element.findtext(path) or "").strip()


def number(element: Element, path: str, what: str) -> float:
    """The number in the first element at a path; an UnreadableError where there is none."""
    try:
        return float(text(element, path))
    except ValueError:
        raise UnreadableError(f"damaged header: {what} is no number") from None


def decoded(content: str) -> bytes:
    """Bytes in base64; an UnreadableError where it is none."""
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError("damaged samples: they are not in base64") from None


def _bare(name: str) -> str:
    return name.rsplit("}", 1)[-1]


Values = NDArray[np.float64]


def recording(
    path: Path,
    format: str,
    rate: float,
    leads: Sequence[tuple[str, str, Values]],
    *,
    ids: Mapping[str, str],
    flags: tuple[str, ...] = (),
) -> tuple[SignalHeader, Values]:
    """The header of an ECG whose leads have been read, and its values.

    Args:
        path: of the file.
        format: of the file.
        rate: Hz.
        leads: name, unit and values of each.
        ids: that the file states.
        flags: what is unusual.

    Returns:
        The header, and (channels, time) in its units.

    Raises:
        UnreadableError: no lead, leads of several lengths, or without a unit.
    """
    if not leads:
        raise UnreadableError("no signal: the file holds no lead")
    lengths = {len(values) for _, _, values in leads}
    if len(lengths) > 1:
        raise UnreadableError(f"leads of {len(lengths)} different lengths in one recording")
    names = numbered([name for name, _, _ in leads])
    choice = choose([Channel(name, unit, rate) for name, (_, unit, _) in zip(names, leads, strict=True)])
    header = SignalHeader(
        modality="ecg",
        format=format,
        sampling_rate=rate,
        n_samples=lengths.pop(),
        channels=tuple(names[i] for i in choice.kept),
        units=tuple(leads[i][1] for i in choice.kept),
        ids=dict(ids),
        files=(path.name,),
        flags=(*flags, *choice.flags),
    )
    return header, np.stack([leads[i][2] for i in choice.kept])


def readers(
    read: Callable[[Path], tuple[SignalHeader, Values]],
) -> tuple[Callable[[Path], SignalHeader], Callable[[Path], Signal]]:
    """`read_header` and `read_signal` of a format; `read` gives its header and (channels, time) in its units."""
    return lambda path: read(path)[0], lambda path: physical_signal(*read(path))


def with_limb_leads(leads: Sequence[tuple[str, str, Values]]) -> tuple[list[tuple[str, str, Values]], tuple[str, ...]]:
    """Add the limb leads that follow from I and II, where a file leaves them out.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2 (Einthoven, Goldberger).

    Returns:
        The leads, III to aVF behind I and II, and a flag if any was computed.
    """
    by_name = {name: (unit, values) for name, unit, values in leads}
    if "I" not in by_name or "II" not in by_name or len(by_name) < len(leads):
        return list(leads), ()
    (unit, one), (other, two) = by_name["I"], by_name["II"]
    if unit != other or len(one) != len(two):
        return list(leads), ()
    made = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    new = [name for name in made if name not in by_name]
    if not new:
        return list(leads), ()
    by_name |= {name: (unit, made[name]) for name in new}
    order = ["I", "II", *made, *(name for name, _, _ in leads if name not in ("I", "II", *made))]
    return [(name, *by_name[name]) for name in order], (f"leads computed from I and II: {', '.join(new)}",)
