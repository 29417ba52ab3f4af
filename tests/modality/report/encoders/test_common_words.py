"""A vocabulary holds no word of few patients and no name of a name field."""

import json
from pathlib import Path

import numpy as np
import pytest

from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.identity import is_name, name_codes, site_salt
from medcl.archive.manifest import Manifest
from medcl.archive.report_read import ReportRule
from medcl.errors import UsageError
from medcl.modality.report.encoders.tokens import Tokenizer, common_words
from medcl.phantom.archive import write
from medcl.phantom.report_files import add_reports

RARE = ("quandtmeyer", "zyblikiewicz", "obiageli")
"""Names that nothing announces, each of one or two patients, in many reports."""
FIELD = "vreekamp"
"""A name of a name field, which other reports mention."""


def tokens_of(tokenizer: Tokenizer) -> list[str]:
    """Each token as text, without the space before it."""
    return [tokenizer.decode([one]) for one in range(tokenizer.size)]


def test_words_of_few_patients_and_names_are_left_out() -> None:
    texts = [f"No effusion. {'Quandtmeyer' if row < 6 else 'Lungs'} Vreekamp 4711 clear." for row in range(12)]
    patients = np.array([1] * 6 + list(range(2, 8)))
    found = common_words(texts, patients, 5, lambda word: word == "vreekamp")
    assert found[0].split() == ["no", "effusion.", "4711", "clear."]
    assert found[-1].split() == ["no", "effusion.", "lungs", "4711", "clear."]


def test_reports_of_unknown_patients_count_as_of_one() -> None:
    with pytest.raises(UsageError, match=r"no word occurs in the reports of 5 patients.*report.encoder.patients"):
        common_words(["effusion"] * 9, np.full(9, -1), 5, lambda word: False)
    with pytest.raises(UsageError, match="at least 1 patient"):
        common_words(["effusion"], np.array([1]), 0, lambda word: False)


def test_a_name_is_told_in_each_spelling_by_codes_alone() -> None:
    codes = name_codes(["Müller^Hans", "12 Elm St"], b"salt of 16 bytes")
    manifest = Manifest.__new__(Manifest)
    object.__setattr__(manifest, "metadata", {"reports": {"names": codes}})
    named = is_name(manifest, b"salt of 16 bytes")
    assert [named(word) for word in ("müller", "mueller", "muller", "hans", "elm", "lunge")] == [True] * 4 + [False] * 2
    with pytest.warns(UserWarning, match="another salt"):
        assert not is_name(manifest, b"another salt here")("müller")


def test_names_planted_in_a_phantom_are_no_tokens(tmp_path: Path) -> None:
    write(tmp_path, ecg_patients=24, eeg_subjects=0)
    add_reports(tmp_path)
    reports = sorted((tmp_path / "reports" / "ecg").rglob("*.txt"))
    rows = []
    for number, path in enumerate(reports):
        patient = path.stem.split("_")[0]
        said = RARE[int(patient[1:]) % 3] if int(patient[1:]) <= 3 else "nothing"
        text = f"{path.read_text()} {said} {said} came with {FIELD}."
        rows.append({"who": patient, "text": text, "referring_physician": FIELD.upper() if number == 0 else None})
    table = tmp_path / "ecg" / "r.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    rule = ReportRule(table="r.jsonl", column="text", key="who", belongs="patient", deidentify="rules")
    output = tmp_path / "m.parquet"
    request = ScanRequest(
        tmp_path / "ecg",
        output,
        reports=(rule,),
        jobs=1,
        labels=tmp_path / "ecg" / "labels.csv",
        record_column="record",
        patient_column="patient",
    )
    build_manifest(request)
    own = Manifest.read(output).of_kind("report")
    texts = [str(text) for text in own.column("report")]
    assert all(any(name in text.lower() for text in texts) for name in (*RARE, FIELD)), "the rules miss these"
    everything = Tokenizer.train(texts, 8000)
    assert set(RARE) <= set(tokens_of(everything)), "without the filter they are tokens"
    kept = common_words(texts, own.column("patient"), 5, is_name(Manifest.read(output), site_salt()))
    tokenizer = Tokenizer.train(kept, 8000)
    tokens = tokens_of(tokenizer)
    for name in (*RARE, FIELD):
        assert not any(name in token for token in tokens)
        assert name not in tokenizer.to_json().lower()
        # Nor does a path of merges lead to it: the longest piece of it is short.
        assert max(len(tokenizer.decode([one])) for one in tokenizer([name], 60)[0][1:-1].tolist()) <= 4
        assert tokenizer.decode(tokenizer([name], 60)[0]) == name
