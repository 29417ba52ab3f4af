"""What holds the words of reports can be read by its owner only, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medcl.archive.journal import Journal
from medcl.data.prepare import prepare
from medcl.files import claim
from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.show import page
from tests.data import report_archive


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_store_of_reports(tmp_path: Path) -> None:
    manifest = report_archive.manifest(["No effusion of the lung.", "A mass in the liver."], tmp_path)
    tokenizer = Tokenizer.train(["no effusion of the lung"], 300)
    store = prepare(
        manifest, TokenisedConfig.of(TextConfig(), tokenizer, tokenizer.fingerprint), tmp_path / "store", jobs=1
    )
    assert mode(store.folder) == 0o700
    assert {mode(path) for path in store.folder.iterdir() if path.suffix in (".arrow", ".npy")} == {0o600}


def test_pages_and_the_journal_of_a_scan(tmp_path: Path) -> None:
    page.write(tmp_path / "page.html", "<p>No effusion.</p>")
    Journal(tmp_path / "journal", {"a": 1}, lambda known: known)
    assert mode(tmp_path / "page.html") == 0o600
    assert mode(tmp_path / "journal") == 0o600


def test_a_file_that_others_could_read_before(tmp_path: Path) -> None:
    (tmp_path / "f.npy").write_bytes(b"old")
    (tmp_path / "f.npy").chmod(0o644)
    np.save(claim(tmp_path / "f.npy"), np.arange(3))
    assert mode(tmp_path / "f.npy") == 0o600
