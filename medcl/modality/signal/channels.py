"""Where the channels that are wanted are among those of a recording, by their names."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.formats.channel_names import canonical, listed

__all__ = ["canonical", "positions", "renamed"]


def positions(
    wanted: Sequence[str],
    present: Sequence[str],
    *,
    names: Mapping[str, str] | None = None,
    unusable: Mapping[str, str] | None = None,
) -> NDArray[np.int64]:
    """Where each wanted channel is among those of a recording.

    Args:
        wanted: names, in the order wanted.
        present: names in the file.
        names: name in a file -> the name it is wanted by, where the two spell different names.
        unusable: name in the file -> why it holds no values.

    Returns:
        (wanted,) positions.

    Raises:
        UnreadableError: names that the recording lacks, has without values, or has twice.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(renamed(present, names)):
        places.setdefault(_key(name), []).append(place)
    missing = [name for name in wanted if _key(name) not in places]
    empty = dict(zip(map(_key, renamed(list(unusable or ()), names)), (unusable or {}).values(), strict=True))
    for name in missing:
        if _key(name) in empty:
            raise UnreadableError(f"channel {name} cannot be used: {empty[_key(name)]}")
    if missing:
        raise UnreadableError(
            f"lacks the channels {listed(missing)}; it has {listed(present)} (data.channel_names says which is which)"
        )
    twice = [name for name in wanted if len(places[_key(name)]) > 1]
    if twice:
        alike = [present[place] for place in places[_key(twice[0])]]
        raise UnreadableError(
            f"has more than one channel that is called {listed(twice)}: {listed(alike)} "
            "(data.channel_names tells them apart)"
        )
    return np.array([places[_key(name)][0] for name in wanted], dtype=np.int64)


def renamed(present: Sequence[str], names: Mapping[str, str] | None) -> list[str]:
    """The names that channels are wanted by.

    Args:
        present: names in the file.
        names: name in a file -> the name it is wanted by. It is for the channel that is spelled so; only where there is
            none, for those of which it is another spelling.
    """
    wishes = {_exact(stated): wish for stated, wish in (names or {}).items()}
    spelled = set(map(_exact, present))
    loose = {_key(stated): wish for stated, wish in (names or {}).items() if _exact(stated) not in spelled}
    return [wishes.get(_exact(name), loose.get(_key(name), name)) for name in present]


def _exact(name: str) -> str:
    return name.strip().casefold()


def _key(name: str) -> str:
    return canonical(name).casefold()
