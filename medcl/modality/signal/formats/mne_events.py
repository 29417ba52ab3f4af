"""The events of a recording that mne has opened."""

from typing import Any

import mne

from medcl.modality.signal.epochs import Event


def of_raw(raw: Any) -> tuple[Event, ...]:
    """Annotations, but for those that mark bad stretches, and codes of trigger channels, in the order of time."""
    marked, codes = mne.events_from_annotations(raw, event_id=None, verbose="ERROR")
    names = {code: " ".join(str(name).split()) for name, code in codes.items()}
    found = [(names[code], sample) for sample, _, code in marked.tolist()]
    if "stim" in raw.get_channel_types():
        triggers = mne.find_events(raw, shortest_event=1, verbose="ERROR")
        found += [(str(code), sample) for sample, _, code in triggers.tolist()]
    rate = float(raw.info["sfreq"])
    seconds = [Event(name, (sample - raw.first_samp) / rate) for name, sample in found]
    return tuple(sorted(seconds, key=lambda one: one.second))
