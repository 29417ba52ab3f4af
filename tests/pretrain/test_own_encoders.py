"""Encoders of the user's own: a package on the path, trained, resumed, evaluated, embedded, and found again."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import medcl
from medcl import runs, weights
from medcl.errors import UsageError
from medcl.evaluate.config import FinetuneConfig
from medcl.networks.config import ForeignEncoderConfig
from medcl.networks.foreign import ForeignEncoder
from tests.data.linked_archive import pictures_with_reports

NETS = """
import torch
from torch import nn


class Waves(nn.Module):
    '''Signals to one embedding.'''

    def __init__(self, n_channels, width=8, dim=12):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(n_channels, width, 9, 4), nn.ReLU(), nn.Conv1d(width, dim, 5, 4))
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        return self.drop(self.layers(x)).mean(dim=2)


class Steps(Waves):
    '''Signals to one embedding every 16 steps.'''

    def forward(self, x):
        return self.layers(x).mT


class Pixels(nn.Module):
    '''Images or volumes to a map of a quarter of their size, with other things beside it.'''

    def __init__(self, n_channels, dims, dim=6):
        super().__init__()
        kind = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.first, self.second = kind(n_channels, 8, 2, 2), kind(8, dim, 2, 2)

    def forward(self, x):
        return {"map": self.second(torch.relu(self.first(x))), "other": None}


class Columns(nn.Module):
    '''Tables with gaps to one embedding.'''

    def __init__(self, n_channels):
        super().__init__()
        self.layer = nn.Linear(2 * n_channels, 10)

    def forward(self, x):
        last = x[:, :, -1]
        return self.layer(torch.cat([last.nan_to_num(), last.isnan().to(x.dtype)], dim=1))


def build(n_channels):
    return Waves(n_channels)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the package `ownnets`."""
    folder = tmp_path / "site"
    (folder / "ownnets").mkdir(parents=True)
    (folder / "ownnets" / "__init__.py").write_text("")
    (folder / "ownnets" / "nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(folder)
    for name in [one for one in sys.modules if one.partition(".")[0] == "ownnets"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def signals(encoder: dict[str, Any], steps: int = 4, **views: Any) -> dict[str, Any]:
    return {
        "inputs": {"signal": {"data": {"window": 2.0, "stride": 1.0}, "views": views, "encoder": encoder}},
        "objectives": {"patient": {"of": "signal", "positives": "patient", "head": {"hidden": 8, "dim": 8}}},
        "batch": {"patients": 4, "records": 1, "samples": 2},
        "optimiser": {"steps": steps},
        "hardware": {"accelerator": "cpu"},
    }


WAVES = {"name": "ownnets.nets:Waves", "dim": 12, "arguments": {"width": 6}}


def test_a_network_for_signals_goes_the_whole_way(package: Path, ecg_manifest_path: Path, tmp_path: Path) -> None:
    recipe = signals(WAVES, mask="continuous", jitter=0.05)
    whole = medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "whole")
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "parts", until=2)
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "parts", resume=True)
    of_whole, of_parts = (weights.read(tmp_path / one / runs.WEIGHTS, "") for one in ("whole", "parts"))
    assert of_whole.keys() == of_parts.keys()
    assert all(torch.equal(value, of_parts[name]) for name, value in of_whole.items())

    run = runs.load(tmp_path / "whole")
    assert isinstance(run.encoder, ForeignEncoder)
    assert type(run.encoder.network).__name__ == "Waves"
    assert run.card.encoder == ForeignEncoderConfig(WAVES["name"], 12, {"width": 6})
    x = torch.randn(3, run.encoder.n_channels, 200)
    torch.testing.assert_close(run.encoder.embed(x), run.encoder.network(x))

    # The recipe in the folder is complete: it trains the same again.
    medcl.pretrain(tmp_path / "whole" / "recipe.yaml", ecg_manifest_path, tmp_path / "again")
    assert (tmp_path / "again" / runs.WEIGHTS).read_bytes() == (tmp_path / "whole" / runs.WEIGHTS).read_bytes()

    options = {
        "labels": "100%",
        "repeats_full": 1,
        "bootstrap": 20,
        "jobs": 1,
        "finetune": FinetuneConfig(steps=4, evaluate_every=2),
    }
    found = medcl.finetune(whole, ecg_manifest_path, "diagnosis", protocols=["probe", "finetune"], **options)
    for protocol in ("probe", "finetune"):
        assert found.value.find(protocol, "pretrained", "100%", found.value.metric) is not None
    medcl.embed(whole, ecg_manifest_path, tmp_path / "e.parquet", jobs=1)
    assert len(pq.read_table(tmp_path / "e.parquet").column("embedding")[0].as_py()) == 12

    # Another run begins with it.
    begun = signals(WAVES, steps=1)
    begun["inputs"]["signal"]["init"] = str(tmp_path / "whole")
    medcl.pretrain(begun, ecg_manifest_path, tmp_path / "begun")


def test_a_network_with_positions_serves_objectives_of_positions(
    package: Path, ecg_manifest_path: Path, tmp_path: Path
) -> None:
    recipe = signals({"name": "ownnets.nets:Steps", "dim": 12, "layout": "channels-last", "pooling": "max"})
    recipe["objectives"] = {"within": {"kind": "hierarchical", "of": "signal", "levels": {"observation": 1.0}}}
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "run")
    encoder = runs.load(tmp_path / "run").encoder
    x = torch.randn(2, encoder.n_channels, 200)
    assert encoder(x).shape == (2, 11, 12)
    torch.testing.assert_close(encoder.embed(x), encoder.network(x).amax(dim=1))
    # What is hidden is 0, the mean of a standardised signal.
    keep = torch.rand(2, 200) > 0.5
    torch.testing.assert_close(encoder(x, keep), encoder(x * keep[:, None]))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["pixpro", "slotcon", "contrast"])
def test_a_network_for_slices_and_volumes_takes_dense_objectives(
    package: Path, mr_manifest_path: Path, tmp_path: Path, dims: int, kind: str
) -> None:
    encoder = {"name": "ownnets.nets:Pixels", "dim": 6, "arguments": {"dims": dims}, "output": "map", "stride": 4}
    recipe = {
        "inputs": {
            "volume": {
                "data": {"size": [16, 1, 16] if dims == 2 else [16, 16, 8]},
                "views": {"crop_side": [0.6, 0.9]},
                "encoder": {**encoder, "layout": "channels-first"},
            }
        },
        "objectives": {"cells": {"kind": kind, "of": "volume"}},
        "batch": {"patients": 3, "samples": 2},
        "optimiser": {"steps": 2},
        "hardware": {"accelerator": "cpu"},
    }
    medcl.pretrain(recipe, mr_manifest_path, tmp_path / "run")
    run = runs.load(tmp_path / "run")
    assert run.card.encoder.dims == dims
    medcl.embed(tmp_path / "run", mr_manifest_path, tmp_path / "e.parquet", jobs=1)
    assert len(pq.read_table(tmp_path / "e.parquet").column("embedding")[0].as_py()) == 6


def test_a_network_of_monai_is_named_like_any_other(mr_manifest_path: Path, tmp_path: Path) -> None:
    encoder = {
        "name": "monai.networks.nets:DenseNet",
        "dim": 16,
        "arguments": {
            "spatial_dims": 2,
            "out_channels": 16,
            "init_features": 8,
            "growth_rate": 4,
            "block_config": [2, 2],
        },
    }
    recipe = {
        "inputs": {"volume": {"data": {"size": [16, 1, 16]}, "encoder": encoder}},
        "objectives": {"patient": {"of": "volume", "positives": "patient"}},
        "batch": {"patients": 3, "samples": 2},
        "optimiser": {"steps": 2},
        "hardware": {"accelerator": "cpu"},
    }
    medcl.pretrain(recipe, mr_manifest_path, tmp_path / "run")
    run = runs.load(tmp_path / "run")
    assert run.encoder.embed(torch.randn(2, 1, 32, 32)).shape == (2, 16)


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ({"name": "nowhere.nets:Net", "dim": 4}, "the module nowhere is not found: install its package, or set PYTHON"),
        ({"name": "ownnets.nets:Wave", "dim": 4}, "ownnets.nets has no 'Wave'; did you mean 'Waves'"),
        ({"name": "ownnets.nets:build", "dim": 4}, r"is no subclass of torch\.nn\.modules\.module\.Module"),
        ({"name": "os:system", "dim": 4, "arguments": {"command": "touch broken"}}, "is no subclass of torch"),
        ({"name": "ownnets.nets:Waves"}, r"inputs\.signal\.encoder\.dim: ownnets\.nets:Waves: state the width"),
        ({**WAVES, "arguments": {"wide": 1}}, "cannot be made of the arguments .* unexpected keyword argument 'wide'"),
        ({**WAVES, "dim": 13}, r"returns a tensor \(\d+, 12\), where layout pooled and dim 13 promise \(batch, 13\)"),
        ({**WAVES, "layout": "channels-first"}, r"promise \(batch, 12, \.\.\.\): change layout, dim or output"),
        ({**WAVES, "output": "map"}, "what it returns, a Tensor, has no 'map'"),
        ({**WAVES, "layout": "pooling"}, "layout"),
        ({**WAVES, "depth": 3}, r"inputs\.signal\.encoder\.depth"),
        ({**WAVES, "stride": 4}, "stride takes layout channels-first"),
    ],
)
def test_what_cannot_be_is_told_before_there_is_a_run(
    package: Path, ecg_manifest_path: Path, tmp_path: Path, encoder: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        medcl.pretrain(signals(encoder), ecg_manifest_path, tmp_path / "run")
    assert not (tmp_path / "broken").exists()
    assert not (tmp_path / "run" / runs.WEIGHTS).exists()


def test_an_objective_that_asks_where_positions_lie_needs_a_stride(
    package: Path, mr_manifest_path: Path, tmp_path: Path
) -> None:
    encoder = {"name": "ownnets.nets:Pixels", "dim": 6, "arguments": {"dims": 2}, "output": "map"}
    recipe = {
        "inputs": {"volume": {"data": {"size": [16, 1, 16]}, "encoder": {**encoder, "layout": "channels-first"}}},
        "objectives": {"cells": {"kind": "pixpro", "of": "volume"}},
        "batch": {"patients": 3, "samples": 2},
    }
    with pytest.raises(UsageError, match="asks where its positions lie: set layout to channels-first and stride"):
        medcl.pretrain(recipe, mr_manifest_path, tmp_path / "run")
    recipe["inputs"]["volume"]["encoder"]["stride"] = 3
    with pytest.raises(UsageError, match=r"returns positions \(4, 4\), where stride 3 promises \(6, 6\)"):
        medcl.pretrain(recipe, mr_manifest_path, tmp_path / "other")


LOAD = "import sys; from medcl import runs; from pathlib import Path; print(runs.load(Path(sys.argv[1])).card.encoder)"


def test_a_run_is_loaded_elsewhere_only_with_its_package(
    package: Path, ecg_manifest_path: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    medcl.pretrain(signals(WAVES, steps=1), ecg_manifest_path, run)
    with_it = subprocess.run([sys.executable, "-c", LOAD, run], env=_path(package), capture_output=True, text=True)
    assert "ForeignEncoderConfig" in with_it.stdout, with_it.stderr
    without = subprocess.run([sys.executable, "-c", LOAD, run], env=_path(tmp_path), capture_output=True, text=True)
    assert "'ownnets.nets:Waves': the module ownnets is not found: install its package" in without.stderr
    # A package that somebody put into the folder is not imported, even where Python would find it.
    (run / "ownnets").mkdir()
    (run / "ownnets" / "__init__.py").write_text("raise SystemExit('imported')")
    inside = subprocess.run(
        [sys.executable, "-c", LOAD, "."], env=_path(tmp_path), cwd=run, capture_output=True, text=True
    )
    assert "from ., a folder of data, which is not done" in inside.stderr
    assert "imported" not in inside.stderr.replace("is not imported", "")


def _path(*more: Path) -> dict[str, str]:
    import os

    here = Path(medcl.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, *more)))}


def test_an_own_encoder_of_images_is_paired_with_reports(package: Path, tmp_path: Path) -> None:
    manifest = pictures_with_reports(tmp_path / "archive", patients=8)
    image = {"name": "ownnets.nets:Pixels", "dim": 6, "arguments": {"dims": 2}, "output": "map"}
    text = {"dim": 8, "hidden": 32, "depth": 1, "vocabulary": 300, "patients": 2}
    recipe = {
        "inputs": {
            "image": {"data": {"size": [16, 24]}, "encoder": {**image, "layout": "channels-first"}},
            "report": {"data": {"length": 16}, "encoder": text},
        },
        "objectives": {"pair": {"between": ["image", "report"], "head": {"hidden": 8, "dim": 8}}},
        "batch": {"patients": 4},
        "optimiser": {"steps": 2},
        "hardware": {"accelerator": "cpu"},
    }
    medcl.pretrain(recipe, manifest, tmp_path / "run", store=tmp_path / "store")
    joint = runs.load_joint(tmp_path / "run")
    assert isinstance(joint.encoder.side("image"), ForeignEncoder)
    # A report whose encoder would be a network of one's own is refused: tokens are no array of numbers.
    recipe["inputs"]["report"]["encoder"] = {"name": "ownnets.nets:Waves", "dim": 8}
    with pytest.raises(UsageError, match=r"inputs\.report\.encoder\.name: .*reports are no arrays of numbers"):
        medcl.pretrain(recipe, manifest, tmp_path / "other", store=tmp_path / "store")
