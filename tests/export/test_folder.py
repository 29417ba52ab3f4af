"""Exports are opened again by the programs that they are for, and give what the original gives."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from safetensors import safe_open

import medcl
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.embed.encoders import Side, prepare, sides_of
from medcl.errors import MedclError, UsageError
from medcl.evaluate.config import EvaluateConfig, SegmentConfig
from medcl.evaluate.finetune import finetune
from medcl.export.folder import compared, export
from medcl.export.taken import take
from medcl.modality.report.config import TextConfig, TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import ImageCard, SignalCard, TextCard
from medcl.modality.volume.config import VolumeConfig
from tests.embed import archives
from tests.evaluate import segment_archive, signal_run
from tests.modality.table.laboratory import write_laboratory, write_stays

torch.set_num_threads(1)
BESIDE = {"preprocessing.json", "preprocess.py", "network.json", "README.md"}
TOLERANCE = 1e-5
Real: TypeAlias = tuple[torch.Tensor, np.ndarray]


@pytest.fixture(scope="module")
def run(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return signal_run.write_run(tmp_path_factory.mktemp("export") / "run", ecg_manifest)


@pytest.fixture(scope="module")
def real(run: Path, ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """Windows of real recordings, and what the run makes of them."""
    (side,) = sides_of(run)
    assert isinstance(side, Side)
    pieces = prepare(side, ecg_manifest, ecg_manifest, tmp_path_factory.mktemp("store"), 1).pieces
    x = pieces.__getitems__(list(range(7)))["x"]
    with torch.inference_mode():
        return x, side.network.embed(x).numpy()


def test_onnx(
    run: Path, ecg_manifest_path: Path, real: Real, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    folder = tmp_path / "onnx"
    words = ["export", str(run), "--to", "onnx", "-o", str(folder), "--manifest", str(ecg_manifest_path), "--jobs", "1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "largest difference between original and export: " in told
    assert "of 8 records of the manifest" in told
    onnx.checker.check_model(str(folder / "model.onnx"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    x, wanted = real
    for count in (1, 7):
        (found,) = session.run(None, {"x": x[:count].numpy()})
        np.testing.assert_allclose(found, wanted[:count], atol=TOLERANCE)
    assert {one.name for one in folder.iterdir()} == {"model.onnx", *BESIDE}
    about = json.loads((folder / "network.json").read_text())
    assert about["input"] == {"name": "x", "axes": ["samples", "channels", "time"], "dtype": "float32"}
    settings = json.loads((folder / "preprocessing.json").read_text())
    assert (settings["channels"], settings["sampling_rate"]) == (["I", "II", "V1", "V5"], 100.0)
    assert (settings["unit"], settings["standardise"], settings["window"]) == ("mV", "record", 2.0)
    assert main(words) == 2, "nothing is overwritten"


ALONE = """
import importlib.abc, json, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "medcl":
            raise ImportError("medcl is not installed here")
sys.meta_path.insert(0, Refuse())
import numpy as np, torch
from preprocess import preprocess
recording = np.random.default_rng(0).standard_normal((4, 2500))
settings = json.load(open("preprocessing.json"))
x = preprocess(recording, 500.0, ["v1", "I", "II", "V5"], ["mV"] * 4, settings)
np.save("x.npy", x)
np.save("y.npy", torch.export.load("model.pt2").module()(torch.from_numpy(x)).detach().numpy())
"""


def test_torch_on_a_machine_without_medcl(run: Path, real: Real, tmp_path: Path) -> None:
    done = export(run, "torch", tmp_path / "torch")
    assert (done.network, done.records) == ("model.pt2", 0)
    assert done.difference < TOLERANCE < done.largest
    x, wanted = real
    program = torch.export.load(str(done.folder / "model.pt2")).module()
    np.testing.assert_allclose(program(x).numpy(), wanted, atol=TOLERANCE)
    subprocess.run([sys.executable, "-c", ALONE], cwd=done.folder, check=True)
    prepared = torch.from_numpy(np.load(done.folder / "x.npy"))
    assert prepared.shape == (2, 4, 200)
    with torch.inference_mode():
        again = sides_of(run)[0].network.embed(prepared)
    np.testing.assert_allclose(np.load(done.folder / "y.npy"), again, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["dilated", "transformer"])
def test_other_encoders_of_recordings(name: str, tmp_path: Path) -> None:
    network = SignalEncoderConfig(name, dim=8, hidden=32, depth=2, stride=4 if name == "transformer" else 1)  # type: ignore[arg-type]
    run = archives.save(tmp_path / "run", SignalCard(network, ("Fp1", "Fp2"), 128.0, 2.0, "window", (0.5, 40.0), 50.0))
    done = export(run, "torch", tmp_path / "torch")
    assert done.difference < TOLERANCE
    settings = json.loads((done.folder / "preprocessing.json").read_text())
    assert settings["unit"] == "uV"
    assert [len(taps) > 100 for taps in settings["filters"]] == [True, True]


def test_reports_of_any_length(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["the heart is not enlarged", "no effusion is seen"], 300)
    data = asdict(TextConfig(length=24))
    card = TextCard(TextEncoderConfig(dim=8, hidden=32, depth=1, vocabulary=300), tokenizer.to_json(), None, data)
    run = archives.save(tmp_path / "run", card)
    done = export(run, "torch", tmp_path / "torch")
    assert {one.name for one in done.folder.iterdir()} == {"model.pt2", "tokenizer.json", *BESIDE}
    program, taken = torch.export.load(str(done.folder / "model.pt2")).module(), take(run)
    for words in ("no effusion", "the heart is not enlarged and no effusion is seen"):
        ids = torch.from_numpy(tokenizer([words], 24).astype(np.int64))
        torch.testing.assert_close(program(ids), taken.original(ids), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["mlp", "transformer"])
@pytest.mark.parametrize("in_time", [False, True])
def test_tables_with_gaps_and_categories(name: str, in_time: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    archive = (write_stays if in_time else write_laboratory)(tmp_path / "archive", 16)
    manifest = medcl.scan(archive.folder, tmp_path / "m.parquet", jobs=1)
    recipe = {
        "inputs": {
            "table": {
                "modality": "table",
                "data": {"window": 24.0, "step": 2.0} if in_time else {},
                "encoder": {"name": name, "dim": 8, "hidden": 16},
            }
        },
        "objectives": {"own": {"of": "table", "positives": "item"}},
        "batch": {"patients": 4},
        "optimiser": {"steps": 1},
    }
    run = Path(medcl.pretrain(recipe, manifest, tmp_path / "run"))
    for to, file in (("torch", "model.pt2"), ("onnx", "model.onnx")):
        done = export(run, to, tmp_path / to, manifest=manifest.value)  # type: ignore[arg-type]
        assert (done.network, done.records) == (file, 8)
        assert done.difference < TOLERANCE < done.largest
    taken = take(run)
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    program = torch.export.load(str(tmp_path / "torch" / "model.pt2")).module()
    for x in taken.real(manifest.value):
        assert x.isnan().any() or not in_time
        with torch.inference_mode():
            wanted = taken.original(x).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], wanted, atol=TOLERANCE)
        np.testing.assert_allclose(program(x).numpy(), wanted, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["resnet", "unet", "vit"])
def test_images_as_a_bundle(name: str, tmp_path: Path) -> None:
    from monai.bundle import ConfigParser

    widths = {"resnet": (4, 4, 8, 8), "unet": (2, 4, 4), "vit": (32, 32)}[name]
    card = ImageCard(ImageEncoderConfig(name, widths=widths, dim=8), 1, "xray", archives.pictures((64, 64)).data)  # type: ignore[arg-type]
    run = archives.save(tmp_path / "run", card)
    done = export(run, "monai-bundle", tmp_path / "bundle")
    assert done.difference < TOLERANCE
    parser = ConfigParser()
    parser.read_config(str(done.folder / "configs" / "inference.json"))
    parser.read_meta(str(done.folder / "configs" / "metadata.json"))
    parser["bundle_root"] = str(done.folder)
    network, preprocess = (parser.get_parsed_content(one) for one in ("network_def", "preprocess"))
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70)).astype(np.uint8)
    x = torch.from_numpy(preprocess(pixels, parser.get_parsed_content("settings")))
    torch.testing.assert_close(network(x), take(run).original(x), atol=TOLERANCE, rtol=0)
    inferred = parser.get_parsed_content("inferer")(x, network)
    torch.testing.assert_close(inferred, network(x))
    assert parser.get("_meta_#network_data_format#inputs#x#spatial_shape") == [64, 64]


def test_a_segmentation_as_a_bundle_slides_over_a_volume(tmp_path: Path) -> None:
    from monai.bundle import ConfigParser

    manifest = segment_archive.write_heads(tmp_path)
    network = ImageEncoderConfig("unet", dims=3, widths=(2, 4, 4), dim=4)
    data = VolumeConfig(size=(8, 8, 8))
    run = segment_archive.write_run(tmp_path / "run", manifest, network=network, data=data)
    training = SegmentConfig(iterations=4, evaluate_every=2, batch=2)
    config = EvaluateConfig("mask", labels=["2"], repeats=1, bootstrap=5, segment=training, jobs=1)
    finetune([run], manifest, config, tmp_path / "store", tmp_path / "eval")
    (folder,) = (tmp_path / "eval" / "models").iterdir()
    done = export(folder, "monai-bundle", tmp_path / "bundle", manifest=manifest)
    assert done.difference < TOLERANCE
    assert done.records == 8
    parser = ConfigParser()
    parser.read_config(str(done.folder / "configs" / "inference.json"))
    parser["bundle_root"] = str(done.folder)
    volume = np.random.default_rng(0).random((1, 20, 16, 12)).astype(np.float32)
    inferer, network_def = (parser.get_parsed_content(one) for one in ("inferer", "network_def"))
    given = inferer(torch.from_numpy(volume)[None], network_def)
    assert given.shape == (1, len(segment_archive.CLASSES), 20, 16, 12)
    labels = medcl.load(folder).predict(volume)
    # Probabilities are averaged where windows overlap, by the model logits: voxels between two classes may differ.
    assert (given[0].argmax(0).numpy() == labels).mean() > 0.9


def test_an_export_that_gives_something_else_is_not_kept(run: Path, tmp_path: Path) -> None:
    taken = take(run)
    x = taken.examples()
    assert compared(taken.original, taken.network, x)[0] == 0
    assert compared(taken.original, lambda one: taken.network(one) + 0.5, x)[0] == pytest.approx(0.5)
    with pytest.raises(MedclError, match="gives"):
        compared(taken.original, lambda one: taken.network(one)[:, :3], x)
    with pytest.raises(MedclError, match="not a number"):
        compared(taken.original, lambda one: taken.network(one) * float("nan"), x)
    with pytest.raises(MedclError, match="does not take samples of the shape"):
        compared(taken.original, lambda one: taken.network(one).view(9, 9), x)
    with pytest.raises(UsageError, match="is not overwritten"):
        export(run, "torch", tmp_path)
    with pytest.raises(MedclError, match="no such folder"):
        export(tmp_path / "nothing", "torch", tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_hub_folder_is_tensors_and_a_configuration(run: Path, tmp_path: Path) -> None:
    done = export(run, "hub", tmp_path / "hub")
    assert done.difference == 0
    with safe_open(done.folder / "model.safetensors", framework="pt") as tensors:
        assert set(tensors.keys()) == set(sides_of(run)[0].network.state_dict())  # type: ignore[attr-defined]
    assert json.loads((done.folder / "config.json").read_text())["library_name"] == "medcl"
    assert (done.folder / "README.md").read_text().startswith("---\nlibrary_name: medcl\n")
