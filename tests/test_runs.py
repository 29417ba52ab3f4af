"""The run folder: what it refuses, and the guard against testing on patients that were trained on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl import runs, weights
from medcl.archive.manifest import Manifest
from medcl.errors import LeakError, MedclError, UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spec import JointCard, SignalCard, TextCard

CARD = SignalCard(SignalEncoderConfig("resnet", dim=8, hidden=8, depth=2, stride=4), ("I", "II"), 100.0, 2.0, "record")


def finished(folder: Path, patients: list[int], coded_with: str) -> Path:
    runs.start(folder, {"method": "comet"}, runs.SeenPatients.of(patients, coded_with))
    runs.save_encoder(folder, CARD.build(), CARD)
    return folder


def test_an_encoder_comes_back_as_it_was(tmp_path: Path) -> None:
    runs.start(tmp_path, {"method": "comet"}, runs.SeenPatients.of([1], "x"))
    encoder = CARD.build()
    runs.save_encoder(tmp_path, encoder, CARD)
    loaded = runs.load(tmp_path)
    x = torch.randn(4, 2, 200)
    assert loaded.card == CARD
    assert torch.equal(loaded.encoder.embed(x), encoder.eval().embed(x))


def joint_card() -> JointCard:
    words = Tokenizer.train(["No acute finding.", "Sinus rhythm."], 300)
    report = TextCard(TextEncoderConfig(dim=8, hidden=32, depth=1), words.to_json(), None, {"length": 24})
    return JointCard({"signal": CARD, "report": report}, hidden=7, projection=5, local=3)


def test_some_sides_of_a_joint_run_are_loaded_as_they_were(tmp_path: Path) -> None:
    card = joint_card()
    runs.start(tmp_path, {}, runs.SeenPatients.of([1], "x"))
    runs.save_encoder(tmp_path, card.build(), card)
    whole = runs.load_joint(tmp_path)
    for kinds in ([], ["report"], ["signal", "report"]):
        some = runs.load_joint(tmp_path, kinds)
        assert some.card == card
        assert set(some.encoder.sides) == set(kinds)
        weights = whole.encoder.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in some.encoder.state_dict().items())
    with pytest.raises(UsageError, match="no side image: the run has signal, report"):
        runs.load_joint(tmp_path, ["image"])
    runs.save_encoder(tmp_path, CARD.build(), CARD)
    assert runs.load(tmp_path, ["report"]).card == CARD, "a run of one modality has nothing to choose from"


def test_a_tokenizer_that_is_none_is_a_damaged_run(tmp_path: Path) -> None:
    card = joint_card()
    encoder = card.build()
    report = card.sides["report"]
    assert isinstance(report, TextCard)
    tampered = replace(card, sides={**card.sides, "report": replace(report, tokenizer='{"padding": 0}')})
    runs.start(tmp_path, {}, runs.SeenPatients.of([1], "x"))
    runs.save_encoder(tmp_path, encoder, tampered)
    with pytest.raises(MedclError, match=r"encoder.safetensors: does not hold what its encoder is built of"):
        runs.load(tmp_path)
    assert set(runs.load_joint(tmp_path, ["signal"]).encoder.sides) == {"signal"}


def test_folders_that_are_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MedclError, match="no such folder"):
        runs.load(tmp_path / "nothing")
    with pytest.raises(MedclError, match="not a run folder"):
        runs.load(tmp_path)
    runs.start(tmp_path, {}, runs.SeenPatients.of([1], "x"))
    with pytest.raises(MedclError, match="not finished"):
        runs.load(tmp_path)
    (tmp_path / runs.WEIGHTS).write_bytes(b"these are no weights")
    with pytest.raises(MedclError, match="damaged"):
        runs.load(tmp_path)


def test_a_run_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    finished(tmp_path, [1], "x")
    path = tmp_path / runs.ENVIRONMENT
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_version": runs.RUN_VERSION + 1}))
    with pytest.raises(MedclError, match="newer"):
        runs.load(tmp_path)


def test_a_test_patient_of_the_run_stops_the_evaluation(tmp_path: Path, ecg_manifest: Manifest) -> None:
    salt = ecg_manifest.metadata["salt"]
    test_rows = ecg_manifest.split_rows("test")
    patients = ecg_manifest.column("patient")
    clean = runs.load(
        finished(tmp_path / "clean", np.unique(patients[ecg_manifest.split_rows("train")]).tolist(), salt)
    )
    assert runs.guard(clean, ecg_manifest, test_rows) is None
    one = int(patients[test_rows][0])
    leaky = runs.load(finished(tmp_path / "leaky", [one], salt))
    with pytest.raises(LeakError, match=r"1 of \d+ test patients"):
        runs.guard(leaky, ecg_manifest, test_rows)
    assert "Transductive: 1 of" in str(runs.guard(leaky, ecg_manifest, test_rows, allow=True))


def test_codes_of_another_salt_are_not_called_clean(tmp_path: Path, ecg_manifest: Manifest) -> None:
    run = runs.load(finished(tmp_path, [1], "another salt"))
    assert "cannot be compared" in str(runs.guard(run, ecg_manifest, ecg_manifest.split_rows("test")))


def test_hashes_of_two_runs_cannot_be_joined() -> None:
    first, second = (runs.SeenPatients.of([1, 2, 3], "x") for _ in range(2))
    assert not first.hashes & second.hashes
    assert replace(first).among(np.array([3, 4, 3])).tolist() == [True, False, True]


def test_the_same_weights_are_the_same_file_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import torch; from medcl import weights\n"
        "weights.write(Path(sys.argv[1]), {'b': torch.ones(3), 'a': torch.zeros(2, 2)}, 'about')"
    )
    contents = set()
    for number in range(3):
        path = tmp_path / f"{number}.safetensors"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).parents[1])
        assert weights.read_about(path, "") == "about"
        assert weights.read(path, "")["a"].shape == (2, 2)
        contents.add(path.read_bytes())
    assert len(contents) == 1
