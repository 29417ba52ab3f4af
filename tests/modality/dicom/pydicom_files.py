"""The real files that pydicom carries for its own tests."""

from pathlib import Path

import pydicom.data


def pydicom_file(name: str) -> Path:
    """Path of a file that comes with the package: nothing is fetched."""
    return Path(pydicom.data.__file__).parent / "test_files" / name
