"""How a command tells what could not be prepared: a few lines, whether it is three records or ten thousand."""

import re
from collections import defaultdict
from collections.abc import Mapping

_REASONS = 12
_IDS = 3


def told(reasons: Mapping[str, str], total: int, what: str) -> list[str]:
    """Say what was quarantined, by reason, the most frequent first.

    Reasons that differ in their numbers only count as one, which is quoted as the first record has it.

    Args:
        reasons: id of a record -> why it cannot be used.
        total: records that there are.
        what: they are, such as `volumes`.

    Returns:
        Lines: the number of records, then each reason with its count and the ids of a few; none without any reason.
    """
    if not reasons:
        return []
    alike: dict[str, list[str]] = defaultdict(list)
    for record, reason in reasons.items():
        alike[re.sub(r"[\d.]+", "#", reason)].append(record)
    ordered = sorted(alike.values(), key=len, reverse=True)
    lines = [f"quarantined: {len(reasons)} of {total} {what}"]
    for records in ordered[:_REASONS]:
        more = f" and {len(records) - _IDS} more" if len(records) > _IDS else ""
        varies = len({reasons[record] for record in records}) > 1
        lines.append(f"{len(records):>8}  {reasons[records[0]]}{' (and alike)' if varies else ''}")
        lines.append(f"{'':>8}  of {', '.join(records[:_IDS])}{more}")
    rest = ordered[_REASONS:]
    if rest:
        lines.append(f"{sum(map(len, rest)):>8}  for {len(rest)} other reasons")
    return lines


def filled(voxels: Mapping[str, int]) -> list[str]:
    """Say how many voxels were not a number and were filled, as `data.nan` has it.

    Args:
        voxels: id of a record -> how many of it.

    Returns:
        One line, or none where no voxel was.
    """
    if not voxels:
        return []
    some = f"{', '.join(list(voxels)[:_IDS])}{f' and {len(voxels) - _IDS} more' if len(voxels) > _IDS else ''}"
    return [
        f"filled: {sum(voxels.values())} voxels that were not a number (data.nan), of {len(voxels)} volumes: {some}"
    ]
