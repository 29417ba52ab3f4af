"""Words of reports as a baseline."""

import io
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from medcl.data.prepare import prepare
from medcl.errors import MedclError
from medcl.modality import wing
from medcl.modality.report import baselines
from medcl.modality.report.baselines import TfIdf
from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.report.samples import Reports
from tests.data.report_archive import manifest

TEXTS = [
    "The heart is enlarged. No pleural effusion.",
    "No pleural effusion. The heart is of normal size.",
    "the heart is  ENLARGED; no pleural effusion",
    "Sinus rhythm, left axis. Sinus rhythm again.",
    "Sinus rhythm, atrial fibrillation of Zebedee.",
]
ROWS = np.arange(len(TEXTS))


def reports_of(folder: Path, texts: list[str], config: TextConfig | None = None) -> Reports:
    config = config or TextConfig(draw="whole")
    found, tokenizer = manifest(texts, folder), Tokenizer.train(TEXTS * 3, 400)
    tokenised = TokenisedConfig.of(config, tokenizer, tokenizer.fingerprint)
    return Reports(prepare(found, tokenised, folder / "s", jobs=1), found, config)


def test_weights_are_those_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports, own = reports_of(tmp_path, TEXTS), TfIdf()
    expected = TfidfVectorizer(ngram_range=(1, 2), min_df=2).fit_transform(TEXTS).toarray()
    found = own.transform(reports, ROWS, own.fit(reports, ROWS))
    assert found.shape == expected.shape
    # The terms stand in another order: products of reports do not depend on it.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-12)
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(expected, axis=1), atol=1e-12)
    monkeypatch.setattr(baselines, "_REPORTS", 2)
    np.testing.assert_array_equal(own.transform(reports, ROWS, own.fit(reports, ROWS)), found)


def test_equal_words_have_equal_vectors_and_others_do_not(tmp_path: Path) -> None:
    reports, own = reports_of(tmp_path, TEXTS), TfIdf()
    found = own.transform(reports, np.array([2, 0, 3]), own.fit(reports, ROWS))
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    assert found[0] @ found[2] < 0.1


def test_all_sentences_of_a_report_count_whatever_is_drawn(tmp_path: Path) -> None:
    whole, own = reports_of(tmp_path / "w", TEXTS), TfIdf()
    sentences = reports_of(tmp_path / "s", TEXTS, TextConfig(draw="sentence"))
    assert len(sentences) > len(TEXTS)
    words = [own.transform(one, ROWS, own.fit(one, ROWS)) for one in (whole, sentences)]
    np.testing.assert_allclose(words[0] @ words[0].T, words[1] @ words[1].T, atol=1e-12)


def test_what_was_learned_is_applied_to_new_reports_and_has_no_word_in_it(tmp_path: Path) -> None:
    reports, own = reports_of(tmp_path / "old", TEXTS), TfIdf()
    file = io.BytesIO()
    np.savez(file, **own.fit(reports, ROWS))
    for word in (b"Zebedee", b"zebedee", b"heart"):
        assert word not in file.getvalue()
    file.seek(0)
    state = dict(np.load(file, allow_pickle=False))
    assert {name: array.dtype.kind for name, array in state.items()} == {"terms": "i", "idf": "f"}
    new = reports_of(tmp_path / "new", ["Unheard matters entirely", TEXTS[0]])
    found = own.transform(new, np.arange(2), state)
    assert not found[0].any()
    np.testing.assert_allclose(found[1], own.transform(reports, ROWS[:1], state)[0], atol=1e-12)


def test_the_most_frequent_terms_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "TERMS", 2)
    texts = ["aa bb", "aa cc", "aa aa bb", "dd dd"]
    reports, own, rows = reports_of(tmp_path, texts), TfIdf(), np.arange(4)
    found = own.transform(reports, rows, own.fit(reports, rows))
    assert found.shape == (4, 2)
    assert (found > 0).sum(axis=1).tolist() == [2, 1, 2, 0]


def test_a_single_report_and_one_without_words(tmp_path: Path) -> None:
    reports, own = reports_of(tmp_path, ["Sinus rhythm.", "1 . 2"]), TfIdf()
    one = own.fit(reports, np.array([0]))
    assert own.transform(reports, np.array([0, 1]), one)[:, 0].tolist() == pytest.approx([3**-0.5, 0])
    with pytest.raises(MedclError, match="no word"):
        own.fit(reports, np.array([1]))
    assert list(wing("report").baselines(TextConfig())) == ["tf_idf"]
