"""Archives that many tests read: real files, written once a session."""

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.phantom.archive import write

# Two processes of pytest share two cores: `--jobs -1`, one process a core, is one of them.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"
SALT = "the salt of every test of medcl"
APART = ("tests/notebooks/", "tests/site/test_pages.py")
"""Where a test takes a quarter of a minute and shares nothing with its neighbours."""
FIRST = (*APART, "tests/pretrain/test_distributed.py", "tests/pretrain/test_recipes.py")
"""What takes long, so that the last tests are short ones, and no process waits for another at the end."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process runs a whole file, whose fixtures are made once, but for files of few and long tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(APART) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish() -> None:
    """Thousands of tests and all imported modules stay until the end: no need to search them for garbage each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 20, 50)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What fixtures of a file or a session draw does not depend on the tests before."""
    _seed(1)


@pytest.fixture(autouse=True)
def _own_numbers() -> None:
    """What a test draws without a generator of its own does not depend on the tests before."""
    _seed(0)


def _seed(number: int) -> None:
    # Of the processor alone: `torch.manual_seed` prepares those of GPUs too, which takes a millisecond.
    torch.default_generator.manual_seed(number)
    np.random.seed(number)  # noqa: NPY002 - of libraries that draw from it


@pytest.fixture(scope="session", autouse=True)
def _own_salt() -> None:
    """Tests never use the salt of the person who runs them, wherever it is kept."""
    os.environ["MEDCL_SALT"] = SALT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, beside the checkout on the machines that have it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def phantom_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small archive of synthetic patients: `ecg/` as WFDB and `eeg/` as EDF, with label tables."""
    folder = tmp_path_factory.mktemp("phantom") / "archive"
    write(folder, ecg_patients=24, eeg_subjects=6, seed=0)
    return folder


@pytest.fixture(scope="session")
def ecg_manifest_path(phantom_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the synthetic ECGs, as `medcl scan` writes it."""
    output = tmp_path_factory.mktemp("manifest") / "ecg.parquet"
    build_manifest(
        ScanRequest(
            folder=phantom_archive / "ecg",
            output=output,
            labels=phantom_archive / "ecg" / "labels.csv",
            record_column="record",
            patient_column="patient",
            target_columns=("diagnosis", "age:regression", "sex"),
            fractions=(0.5, 0.25, 0.25),
            jobs=1,
        )
    )
    return output


@pytest.fixture(scope="session")
def ecg_manifest(ecg_manifest_path: Path) -> Manifest:
    """The same manifest, read."""
    return Manifest.read(ecg_manifest_path)
