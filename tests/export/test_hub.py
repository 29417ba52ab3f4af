"""Hub folders: what takes a run or a model takes them, from here or from a hub that a test serves on 127.0.0.1."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub.constants
import numpy as np
import pytest
import torch

import medcl
from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.embed.encoders import sides_of
from medcl.errors import MedclError, UsageError
from medcl.evaluate.finetune import finetune
from medcl.export.folder import export
from tests.evaluate import signal_run
from tests.evaluate.test_models import CONFIG

torch.set_num_threads(1)
COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture(scope="module")
def run(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return signal_run.write_run(tmp_path_factory.mktemp("hub") / "run", ecg_manifest)


@pytest.fixture(scope="module")
def hub(run: Path) -> Path:
    return export(run, "hub", run.with_name("hub")).folder


@pytest.fixture(scope="module")
def model(run: Path, ecg_manifest: Manifest) -> Path:
    config = replace(CONFIG, target="diagnosis", repeats=1, protocols=["probe"])
    finetune([run], ecg_manifest, config, run.with_name("store"), run.with_name("eval"))
    return next(run.with_name("eval").glob("models/pretrained-probe-*"))


def test_a_hub_folder_is_taken_wherever_a_run_is(run: Path, hub: Path, ecg_manifest_path: Path, tmp_path: Path) -> None:
    (one,), (other,) = sides_of(run), sides_of(hub)
    assert one.card == other.card
    found = [
        medcl.embed(folder, ecg_manifest_path, tmp_path / f"{folder.name}.parquet", store=tmp_path / "store", jobs=1)
        for folder in (run, hub)
    ]
    np.testing.assert_array_equal(*(one.value.vectors() for one in found))
    leads, x = ("I", "II", "V1", "V5"), np.random.default_rng(0).standard_normal((4, 1000))
    np.testing.assert_array_equal(*(medcl.load(one).embed(x, sampling_rate=100, channels=leads) for one in (run, hub)))


def test_patients_and_places_stay_at_home(run: Path, hub: Path, ecg_manifest: Manifest) -> None:
    assert len(runs.load(run).patients.hashes) > 0
    loaded = runs.load(hub)
    assert not loaded.patients.hashes
    rows = ecg_manifest.split_rows("train")
    assert "cannot be compared" in (runs.guard(loaded, ecg_manifest, rows) or "")
    for path in hub.iterdir():
        content = path.read_bytes()
        assert str(run).encode() not in content
        assert not any(one.encode() in content for one in runs.load(run).patients.hashes)


def test_a_model_predicts_from_its_hub_folder(model: Path, tmp_path: Path) -> None:
    done = export(model, "hub", tmp_path / "hub")
    assert done.difference == 0
    recording = np.random.default_rng(0).standard_normal((4, 1000))
    loaded = medcl.load(done.folder)
    np.testing.assert_array_equal(loaded.predict(recording), medcl.load(model).predict(recording))
    assert loaded.info == medcl.load(model).info


class Served(BaseHTTPRequestHandler):
    """As much of a hub as huggingface_hub asks for."""

    def __init__(self, *words: object, folders: dict[str, Path], asked: list[str]) -> None:
        self.folders, self.asked = folders, asked
        super().__init__(*words)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *words: object) -> None:
        """Nothing is printed."""

    def _answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        commits = {"main": COMMIT, "v2": OTHER} | {one: one for one in self.folders}
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "models", "ward", "ecg"]:
            commit = commits.get(parts[5] if len(parts) > 5 else "main")
            if commit is None:
                return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
            names = [{"rfilename": one.name, "size": one.stat().st_size} for one in self.folders[commit].iterdir()]
            if parts[4] == "tree":
                tree = [{"type": "file", "path": n["rfilename"], "size": n["size"], "oid": "0" * 40} for n in names]
                return self._send(200, json.dumps(tree).encode(), {}, body)
            about = {"id": "ward/ecg", "sha": commit, "siblings": names, "private": False, "tags": [], "downloads": 0}
            return self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"}, body)
        if parts[:3] == ["ward", "ecg", "resolve"] and parts[3] in commits:
            commit = commits[parts[3]]
            path = self.folders[commit] / parts[4]
            if path.is_file():
                content = path.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()}"'
                return self._send(200, content, {"ETag": tag, "X-Repo-Commit": commit}, body)
        return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def served(model: Path, tmp_path: Path) -> dict[str, Path]:
    """Two commits of one model."""
    return {commit: export(model, "hub", tmp_path / commit).folder for commit in (COMMIT, OTHER)}


@pytest.fixture
def asked(served: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a hub is asked for that is served here, with an empty cache."""
    found: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Served, folders=served, asked=found))
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield found
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_only_if_that_is_allowed_and_once(model: Path, asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ward/ecg: no such folder, .* download=True fetches it"):
        medcl.load("ward/ecg")
    assert not asked, "without the flag there is no network"
    recording = np.random.default_rng(0).standard_normal((4, 1000))
    loaded = medcl.load("ward/ecg", download=True)
    np.testing.assert_array_equal(loaded.predict(recording), medcl.load(model).predict(recording))
    assert loaded.folder.name == COMMIT
    assert any("model.safetensors" in one for one in asked)
    assert not any(one.endswith(".py") for one in asked), "no program is fetched"
    asked.clear()
    assert medcl.load("ward/ecg").folder == medcl.load("ward/ecg", download=True).folder == loaded.folder
    assert not asked, "what was fetched is taken from here"


def test_a_run_is_fetched_as_well(run: Path, asked: list[str], served: dict[str, Path], tmp_path: Path) -> None:
    served[COMMIT] = export(run, "hub", tmp_path / "run").folder
    recording = np.random.default_rng(0).standard_normal((4, 1000))
    given = {"sampling_rate": 100.0, "channels": ["I", "II", "V1", "V5"], "unit": "mV"}
    found = medcl.load("ward/ecg", download=True).embed(recording, **given)
    np.testing.assert_array_equal(found, medcl.load(run).embed(recording, **given))


def test_a_revision_is_pinned(asked: list[str]) -> None:
    second = medcl.load("ward/ecg", download=True, revision="v2")
    assert second.folder.name == OTHER
    assert medcl.load("ward/ecg", revision=OTHER).folder == second.folder
    with pytest.raises(UsageError, match="at revision v3 was fetched before"):
        medcl.load("ward/ecg", revision="v3")
    with pytest.raises(MedclError, match="the hub has no such model at v3"):
        medcl.load("ward/ecg", download=True, revision="v3")
    with pytest.raises(MedclError, match="the hub has no such model"):
        medcl.load("ward/eeg", download=True)


def test_what_was_changed_after_it_was_fetched_is_refused(asked: list[str]) -> None:
    folder = medcl.load("ward/ecg", download=True).folder
    path = folder / "README.md"
    content = path.read_text()
    path.unlink()
    path.write_text(content + "more\n")
    with pytest.raises(MedclError, match=r"README.md: is not what was fetched from the hub: delete it"):
        medcl.load("ward/ecg")
    path.write_text(content)
    assert medcl.load("ward/ecg").folder == folder
    (note,) = folder.parent.glob("medcl-checksums-*.json")
    note.unlink()
    with pytest.raises(MedclError, match="fetched by another program"):
        medcl.load("ward/ecg")


def test_a_folder_of_that_name_comes_first(model: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent.parent)
    loaded = medcl.load(f"models/{model.name}", download=True)
    assert loaded.folder == Path("models") / model.name
    assert not asked
    with pytest.raises(UsageError, match="a folder has no revisions"):
        medcl.load(f"models/{model.name}", revision="v2")
