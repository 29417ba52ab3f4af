"""Files that hold what was said of patients: only their owner can read them, whatever the umask."""

import os
from pathlib import Path


def claim(path: Path) -> Path:
    """Make an empty file that only its owner can read and write; what opens it to write keeps that.

    Args:
        path: of the file; one that is there is emptied.

    Returns:
        The same path.

    Raises:
        OSError: it cannot be made.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
    return path
