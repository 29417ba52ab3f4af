"""Reports prepared once: what is drawn from them, and that it is tokenised once."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import MedclError, UsageError
from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.report.samples import Reports
from tests.data.report_archive import manifest

TEXTS = [
    "FINDINGS:\nThe heart is enlarged. A 2.5 cm nodule lies in the left upper lobe.\n\nIMPRESSION:\nNodule, see above.",
    "Sinusrhythmus, Linkstyp. Überleitungsstörung ersten Grades.",
    None,
    "  \n",
    "FINDINGS:\nThe heart is enlarged. Unchanged. No pleural effusion seen.",
    "Sinusrhythmus, Linkstyp. Überleitungsstörung ersten Grades.",
]


class Counting:
    """A tokenizer that remembers what it was asked."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.train([text for text in TEXTS if text] * 3, 500)
        self.asked: list[str] = []

    def __call__(self, texts: list[str], length: int) -> NDArray[np.int32]:
        self.asked.extend(texts)
        return self.tokenizer(texts, length)


@pytest.fixture
def encode() -> Counting:
    return Counting()


def prepared(found: Manifest, encode: Counting, folder: Path, config: TextConfig | None = None) -> Reports:
    store = prepare(
        found, TokenisedConfig.of(config or TextConfig(), encode, encode.tokenizer.fingerprint), folder, jobs=1
    )
    return Reports(store, found, config or TextConfig())


def drawn(reports: Reports, row: int) -> list[str]:
    return [reports.text_of(draw) for draw in reports.samples_of(row)]


def test_sentences_are_drawn_and_short_ones_joined_to_the_one_before(tmp_path: Path, encode: Counting) -> None:
    reports = prepared(manifest(TEXTS, tmp_path, volumes=2), encode, tmp_path)
    assert np.unique(reports.rows).tolist() == [2, 3, 6, 7]
    assert drawn(reports, 2) == [
        "The heart is enlarged.",
        "A 2.5 cm nodule lies in the left upper lobe.",
        "Nodule, see above.",
    ]
    assert drawn(reports, 6) == ["The heart is enlarged. Unchanged.", "No pleural effusion seen."]
    assert drawn(reports, 3) == ["Sinusrhythmus, Linkstyp. Überleitungsstörung ersten Grades."]
    for row in (0, 4, 5):
        assert not len(reports.samples_of(row))
    assert reports.store.quarantine == {"r3": "empty report"}
    for row in np.unique(reports.rows):
        assert (reports.rows[reports.samples_of(row)] == row).all()


def test_sections_and_whole_reports_are_drawn(tmp_path: Path, encode: Counting) -> None:
    found = manifest(TEXTS, tmp_path)
    by_section = prepared(found, encode, tmp_path, TextConfig(draw="section"))
    assert drawn(by_section, 0) == [
        "The heart is enlarged. A 2.5 cm nodule lies in the left upper lobe.",
        "Nodule, see above.",
    ]
    whole = prepared(found, encode, tmp_path, TextConfig(draw="whole"))
    assert drawn(whole, 0) == [TEXTS[0]]
    some = prepared(found, encode, tmp_path, TextConfig(draw="whole", sections=("impression ",)))
    assert drawn(some, 0) == ["IMPRESSION:\nNodule, see above."]


def test_a_report_without_the_sections_asked_for_is_left_out_with_a_reason(tmp_path: Path, encode: Counting) -> None:
    found = manifest(TEXTS, tmp_path)
    reports = prepared(found, encode, tmp_path, TextConfig(sections=("Impression",)))
    assert np.unique(reports.rows).tolist() == [0]
    assert drawn(reports, 0) == ["Nodule, see above."]
    assert set(reports.store.quarantine) == {"r1", "r3", "r4", "r5"}
    assert reports.store.quarantine["r4"] == "no text in a section Impression"
    with pytest.raises(MedclError, match="none of 5 reports can be prepared; the first: no text in a section History"):
        prepared(found, encode, tmp_path, TextConfig(sections=("History",)))


def test_tokens_are_those_of_the_tokenizer(tmp_path: Path, encode: Counting) -> None:
    reports = prepared(manifest(TEXTS, tmp_path), encode, tmp_path, TextConfig(length=12))
    draws = np.array([2, 0, 1, 0])
    tokens = reports.__getitems__(draws)["x"]
    texts = [reports.text_of(draw) for draw in draws]
    np.testing.assert_array_equal(tokens.numpy(), encode.tokenizer(texts, 12))
    assert tokens.dtype.is_signed
    assert tokens.shape == (4, 12)
    assert reports.__getitems__(np.empty(0, dtype=np.int64))["x"].shape == (0, 0)


def test_each_text_is_tokenised_once_and_never_again(tmp_path: Path, encode: Counting) -> None:
    found = manifest(TEXTS * 3, tmp_path)
    reports = prepared(found, encode, tmp_path)
    assert len(encode.asked) == len(set(encode.asked)) == len(reports.store.texts)
    assert len(reports) == 3 * (3 + 1 + 2 + 1)
    encode.asked.clear()
    again = prepared(found, encode, tmp_path)
    assert again.store.folder == reports.store.folder
    assert not encode.asked


def test_what_changes_the_tokens_changes_the_store(tmp_path: Path, encode: Counting) -> None:
    found = manifest(TEXTS, tmp_path)
    first = prepared(found, encode, tmp_path).store.folder
    others = [
        prepared(found, encode, tmp_path, config).store.folder
        for config in (TextConfig(length=20), TextConfig(words=1), TextConfig(draw="whole"), TextConfig(draw="section"))
    ]
    others.append(prepared(manifest([*TEXTS[:5], "Another text."], tmp_path), encode, tmp_path).store.folder)
    others.append(
        prepare(found, TokenisedConfig.of(TextConfig(), encode, "another tokenizer"), tmp_path, jobs=1).folder
    )
    assert len({first, *others}) == 7
    assert prepared(found, encode, tmp_path, TextConfig(sections=())).store.folder == first


def test_equal_texts_have_equal_ids(tmp_path: Path, encode: Counting) -> None:
    reports = prepared(
        manifest(["No effusion seen.", "no  EFFUSION seen.", "An effusion is seen."], tmp_path), encode, tmp_path
    )
    assert reports.codes[0] == reports.codes[1] != reports.codes[2]
    assert reports.codes.dtype == np.int64
    assert (reports.codes >= 0).all()


def test_the_store_is_the_same_for_any_number_of_processes(tmp_path: Path, encode: Counting) -> None:
    texts = [f"Finding {i % 700} of the left lung. No effusion number {i % 31}." for i in range(5000)]
    found = manifest(texts, tmp_path)
    folders = [tmp_path / name for name in ("one", "two")]
    stores = [
        prepare(found, TokenisedConfig.of(TextConfig(), encode, "f"), folder, jobs=jobs)
        for folder, jobs in zip(folders, (1, 2), strict=True)
    ]
    for name in ("tokens.npy", "offsets.npy", "ids.npy", "draws.npy", "texts.arrow"):
        assert (stores[0].folder / name).read_bytes() == (stores[1].folder / name).read_bytes()
    assert len(stores[0].texts) == 731


def test_a_manifest_with_fewer_reports_uses_the_same_store(tmp_path: Path, encode: Counting) -> None:
    found = manifest(TEXTS, tmp_path)
    every = prepared(found, encode, tmp_path)
    fewer = Reports(every.store, found.select([5, 2, 0]), TextConfig())
    assert np.unique(fewer.rows).tolist() == [0, 2]
    assert fewer.rows.tolist() == [0, 2, 2, 2]
    assert len(fewer) == 4
    assert drawn(fewer, 2) == drawn(every, 0)
    for row, was in ((0, 5), (2, 0)):
        own, before = fewer.samples_of(row), every.samples_of(was)
        np.testing.assert_array_equal(fewer.codes[own], every.codes[before])
        np.testing.assert_array_equal(fewer.__getitems__(own)["x"], every.__getitems__(before)["x"])


def test_a_store_of_other_reports_or_settings_is_refused(tmp_path: Path, encode: Counting) -> None:
    found = manifest(TEXTS, tmp_path)
    store = prepared(found, encode, tmp_path).store
    with pytest.raises(MedclError, match="prepared from other records"):
        Reports(store, manifest([*TEXTS, "Another report of a heart."], tmp_path), TextConfig())
    with pytest.raises(MedclError, match=r"draw=sentence.* than those asked for \(draw=whole"):
        Reports(store, found, TextConfig(draw="whole"))


def test_a_report_of_20000_words_is_cut(tmp_path: Path, encode: Counting) -> None:
    found = manifest([" ".join(["nodule"] * 20_000), "No effusion is seen."], tmp_path)
    reports = prepared(found, encode, tmp_path, TextConfig(draw="whole", length=64))
    assert reports.__getitems__(reports.samples_of(0))["x"].shape == (1, 64)


def test_the_store_is_mapped_again_in_another_process(tmp_path: Path, encode: Counting) -> None:
    reports = prepared(manifest(TEXTS * 50, tmp_path), encode, tmp_path)
    assert isinstance(reports.store.tokens, np.memmap)
    sent = pickle.dumps(reports.store)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).tokens, reports.store.tokens)


def test_folders_that_are_no_store_are_refused(tmp_path: Path, encode: Counting) -> None:
    with pytest.raises(MedclError, match="not a prepared store"):
        open_store(tmp_path, "report")
    store = prepared(manifest(TEXTS, tmp_path), encode, tmp_path).store
    (store.folder / "tokens.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(MedclError, match=r"tokens\.npy: damaged, or .* prepare the archive again"):
        open_store(store.folder, "report")


def test_real_reports_of_two_languages_come_back(tmp_path: Path, real_data: Path) -> None:
    table = pyarrow.csv.read_csv(real_data / "ptbxl500" / "ptbxl_database.csv")
    texts = [str(text) for text in table["report"].to_pylist()]
    tokenizer = Tokenizer.train(texts, 1000)
    found = manifest(texts, tmp_path)
    config = TextConfig(draw="whole", length=512)
    reports = Reports(
        prepare(found, TokenisedConfig.of(config, tokenizer, tokenizer.fingerprint), tmp_path, jobs=1), found, config
    )
    texts = [text for text in texts if text.strip()]
    assert len(reports) == len(reports.rows) == len(texts)
    assert set(reports.store.quarantine.values()) == {"empty report"}
    ids = reports.__getitems__(np.arange(len(reports)))["x"]
    assert int((ids != 0).sum(1).max()) < 512
    for row, text in zip(ids, texts, strict=True):
        assert tokenizer.decode(row) == " ".join(text.lower().split())
    assert len(reports.store.texts) == len(set(texts)) < len(texts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draw": "word"}, "one of sentence"),
        ({"length": 2}, "at least 3 tokens"),
        ({"words": 0}, "at least 1 word"),
        ({"sections": ("",)}, "is not empty"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    tmp_path: Path, encode: Counting, settings: dict[str, int | str | Sequence[str]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(manifest(TEXTS, tmp_path), encode, tmp_path, replace(TextConfig(), **settings))  # type: ignore[arg-type]


def test_a_manifest_without_reports_is_refused(tmp_path: Path, encode: Counting) -> None:
    with pytest.raises(MedclError, match="for reports, the manifest holds ct"):
        prepared(manifest([None], tmp_path, volumes=1), encode, tmp_path)
