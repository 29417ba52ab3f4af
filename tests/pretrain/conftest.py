"""Volumes that the tests of pretraining share: real files, written once a session."""

from pathlib import Path

import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.phantom.volumes import write_mr


@pytest.fixture(scope="session")
def mr_manifest_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a few small synthetic heads, as `medcl scan` writes it; some patients came several times."""
    folder = tmp_path_factory.mktemp("heads")
    write_mr(folder / "mr", folder / "masks", 8, shape=(20, 18, 12))
    build_manifest(
        ScanRequest(
            folder=folder / "mr",
            output=folder / "mr.parquet",
            id_pattern=r"(?P<patient>P\d+)/P\d+_(?P<study>v\d+)",
            fractions=(6, 1, 1),
            jobs=1,
        )
    )
    return folder / "mr.parquet"


@pytest.fixture(scope="session")
def mr_manifest(mr_manifest_path: Path) -> Manifest:
    """The same manifest, read."""
    return Manifest.read(mr_manifest_path)
