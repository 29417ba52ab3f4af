"""Files of weights that an encoder starts from: names, shapes, other dimensions and channels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import medcl
from medcl import runs
from medcl.errors import MedclError, UsageError
from medcl.modality.spatial import encoders as image
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.pretrain.initialise import load_file as load
from medcl.pretrain.recipe import InputConfig

SMALL: dict[str, Any] = {"name": "unet", "dims": 2, "widths": (2, 4, 4), "dim": 4}


def network(channels: int = 1, **changes: Any) -> torch.nn.Module:
    return image.build(ImageEncoderConfig(**{**SMALL, **changes}), channels)


def config(path: Path, **settings: Any) -> InputConfig:
    return InputConfig("image", None, None, None, init=str(path), **settings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of a network of another seed, as somebody else's program names them, and a classifier."""
    torch.manual_seed(5)
    given = {f"backbone.{name}": value for name, value in network().state_dict().items()}
    save_file({**given, "classifier.weight": torch.ones(2, 4)}, tmp_path / "theirs.safetensors")
    return tmp_path / "theirs.safetensors"


def test_matched_missing_and_unused_tensors_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    encoder, stored = network(stride=2), load_file(file)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    load(encoder, config(file, rename={"backbone.": ""}), "image")
    after = encoder.state_dict()
    matched = [name for name in after if f"backbone.{name}" in stored]
    missing = [name for name in after if f"backbone.{name}" not in stored]
    assert missing
    assert all(torch.equal(after[name], stored[f"backbone.{name}"]) for name in matched)
    assert all(torch.equal(after[name], before[name]) for name in missing)
    told = capsys.readouterr().out
    assert f"{file}: {len(matched)} tensors matched, {len(missing)} missing, 1 unused\n" in told
    assert "  unused: classifier.weight\n" in told
    assert f"  missing: {missing[0]}" in told
    assert "adapted" not in told


def test_the_longest_beginning_counts_and_the_empty_one_is_that_of_all(tmp_path: Path) -> None:
    encoder = torch.nn.ModuleDict(
        {"network": torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})}
    )
    values = {name: torch.full((2, 2), float(place)) for place, name in enumerate(["a.weight", "old.b.weight"])}
    save_file(values, tmp_path / "x.safetensors")
    load(encoder, config(tmp_path / "x.safetensors", rename={"": "network.", "old.": "network."}), "image")
    assert encoder.state_dict()["network.a.weight"].eq(0).all()
    assert encoder.state_dict()["network.b.weight"].eq(1).all()


def test_kernels_of_images_give_a_volume_without_change_along_depth_the_same_response(tmp_path: Path) -> None:
    torch.manual_seed(5)
    plane = network()
    save_file({k: v.contiguous() for k, v in plane.state_dict().items()}, tmp_path / "plane.safetensors")
    solid = network(dims=3)
    with pytest.raises(UsageError, match=r"other shapes: .*; inputs\.image\.adapt: true inflates kernels"):
        load(solid, config(tmp_path / "plane.safetensors"), "image")
    load(solid, config(tmp_path / "plane.safetensors", adapt=True), "image")
    x = torch.randn(2, 1, 16, 16)
    name = next(one for one, value in solid.state_dict().items() if value.ndim == 5)
    of_plane = F.conv2d(x, plane.state_dict()[name])
    of_solid = F.conv3d(x[..., None].expand(2, 1, 16, 16, 7), solid.state_dict()[name])
    torch.testing.assert_close(of_solid, of_plane[..., None].expand_as(of_solid))
    # The whole network, where depth is far from its ends.
    plane.eval()
    solid.eval()
    deep = solid(x[..., None].expand(2, 1, 16, 16, 64)).unflatten(1, (4, 4, 16))
    torch.testing.assert_close(deep[:, :, :, 8], plane(x).unflatten(1, (4, 4)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [(3, 1), (1, 3)])
def test_channels_are_averaged_so_that_equal_ones_give_the_same_response(
    tmp_path: Path, channels: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    given, wanted = (network(count).eval() for count in channels)
    save_file({k: v.contiguous() for k, v in given.state_dict().items()}, tmp_path / "given.safetensors")
    load(wanted, config(tmp_path / "given.safetensors", adapt=True), "image")
    x = torch.randn(2, 1, 16, 16)
    found, expected = (
        one(x.expand(2, count, 16, 16)) for one, count in zip((wanted, given), channels[::-1], strict=True)
    )
    torch.testing.assert_close(found, expected)
    assert "  adapted: network." in capsys.readouterr().out


def test_wrong_shapes_names_and_files_are_refused(file: Path, tmp_path: Path) -> None:
    rename = {"backbone.": ""}
    with pytest.raises(
        UsageError, match=r"theirs\.safetensors: other shapes: backbone\.[\w.]+ \(2, 1, 3, 3\) for \(3, 1"
    ):
        load(network(widths=(3, 4, 4)), config(file, rename=rename, adapt=True), "image")
    with pytest.raises(
        UsageError, match=r"no tensor has a name of the encoder's, such as [\w.]+; the file has backbone"
    ):
        load(network(), config(file), "image")
    with pytest.raises(UsageError, match="there is no file"):
        load(network(), config(tmp_path / "no.safetensors"), "image")
    (tmp_path / "broken.safetensors").write_bytes(file.read_bytes()[:100])
    with pytest.raises(MedclError, match=r"broken\.safetensors: damaged"):
        load(network(), config(tmp_path / "broken.safetensors"), "image")


def recipe(init: Path, **settings: Any) -> dict[str, Any]:
    own = {"data": {"size": [16, 1, 16]}, "encoder": {**SMALL, "widths": [2, 4, 4]}, "init": str(init), **settings}
    return {
        "inputs": {"volume": own},
        "objectives": {"patient": {"of": "volume"}},
        "batch": {"patients": 3, "samples": 2},
        "optimiser": {"steps": 1, "learning_rate": 1e-12, "average": "none"},
        "hardware": {"accelerator": "cpu"},
    }


def test_a_run_starts_from_a_file_and_says_so_once(
    file: Path, mr_manifest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medcl.pretrain(recipe(file, rename={"backbone.": ""}), mr_manifest_path, tmp_path / "run")
    assert capsys.readouterr().out.count("tensors matched, 0 missing, 1 unused") == 1
    found, stored = runs.load(tmp_path / "run").encoder.state_dict(), load_file(file)
    for name, value in found.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(value, stored[f"backbone.{name}"], rtol=0, atol=1e-9)


def test_a_run_starts_from_a_local_hub_folder(file: Path, mr_manifest_path: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "config.json").write_text("{}")
    (hub / "model.safetensors").write_bytes(file.read_bytes())
    medcl.pretrain(recipe(hub, rename={"backbone.": ""}), mr_manifest_path, tmp_path / "run")
    name, found = next(iter(runs.load(tmp_path / "run").encoder.state_dict().items()))
    torch.testing.assert_close(found, load_file(file)[f"backbone.{name}"], rtol=0, atol=1e-9)
