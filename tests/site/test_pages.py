"""The pages for newcomers, run as they are typed, on synthetic patients."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medcl import runs
from tests.site import pages

WRITTEN = {
    "start.md": ("ecg.parquet", "run", "diagnosis"),
    "archives/dicom.md": ("ct.parquet", "runs/ct", "lesion"),
    "archives/ecg.md": ("ecg.parquet", "runs/ecg", "diagnosis"),
    "archives/eeg.md": ("eeg.parquet", "runs/eeg", "group"),
    "archives/radiographs.md": ("xray.parquet", "runs/xray", "lesion"),
    "archives/laboratory.md": ("icu.parquet", "runs/icu", "death"),
}


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_leads_from_files_to_a_curve(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pages.run(page, tmp_path)
    manifest, run, target = WRITTEN[page]
    assert "ok" in pq.read_table(manifest)["status"].to_pylist()
    runs.load(tmp_path / run)
    assert (tmp_path / run / "eval" / target / "latest" / "report.html").is_file()


def test_every_archive_page_is_run() -> None:
    assert {f"archives/{path.name}" for path in (pages.DOCS / "archives").glob("*.md")} < set(WRITTEN)
    for page in WRITTEN:
        languages = [language for language, _ in pages.blocks(page)]
        assert languages.count("bash") >= 3, page
        assert set(languages) <= {"bash", "python", "console"}, f"{page}: a block without a language is not run"
