"""Views of the user's own: classes, functions, transforms of MONAI."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import medcl
from medcl import runs
from medcl.errors import UsageError
from medcl.modality.own_config import OwnViewsConfig
from medcl.modality.own_views import build
from medcl.pretrain.views import draw

VIEWS = """
import torch
from medcl.modality.views import View, uniform


class Louder(View):
    name = "louder"

    def __init__(self, most=2.0):
        self.most = most

    def draw(self, x, generator):
        return {"factor": 1 + (self.most - 1) * uniform(x, len(x), *(1,) * (x.ndim - 1), generator=generator)}

    def apply(self, x, params):
        return x * params["factor"]


def noisy(x, generator, strength=0.1):
    return x + strength * torch.randn(x.shape, generator=generator)


def in_place(x, generator):
    return x.mul_(torch.rand((), generator=generator))


def shorter(x, generator):
    return x[..., 1:]


class Wider(Louder):
    def apply(self, x, params):
        return x.repeat(1, 2, 1, 1)


class Whole(Louder):
    def draw(self, x, generator):
        return {"factor": uniform(x, 1, generator=generator)}


class Other:
    def __init__(self, words="touch broken"):
        raise AssertionError("made")
"""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "ownviews").mkdir(parents=True)
    (tmp_path / "site" / "ownviews" / "__init__.py").write_text(VIEWS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "ownviews", raising=False)


CHAIN = [{"RandFlip": {"prob": 0.5, "spatial_axis": 0}}, {"RandGaussianNoise": {"prob": 0.5, "std": 0.3}}]
OWN: dict[str, dict[str, Any]] = {
    "a class": {"name": "ownviews:Louder", "arguments": {"most": 3.0}},
    "a function": {"name": "ownviews:noisy", "arguments": {"strength": 0.2}},
    "a function that changes its sample": {"name": "ownviews:in_place"},
    "monai": {"monai": CHAIN},
}


@pytest.mark.parametrize("settings", OWN.values(), ids=OWN)
def test_the_same_seed_gives_the_same_views_and_each_sample_its_own(settings: dict[str, Any]) -> None:
    views = build(OwnViewsConfig(**settings), "views")
    x = torch.rand(6, 1, 9, generator=torch.Generator().manual_seed(1)).expand(6, 1, 9).contiguous()
    x = x[:1].expand(6, 1, 9).contiguous()
    before = x.clone()
    params = views.draw(x, torch.Generator().manual_seed(7))
    made = views.apply(x, params)
    assert torch.equal(x, before)
    assert made.shape == x.shape
    assert len({tuple(one.flatten().tolist()) for one in made}) > 2
    assert torch.equal(views.apply(x, params), made)
    assert torch.equal(views.apply(x, views.draw(x, torch.Generator().manual_seed(7))), made)
    assert not torch.equal(views.apply(x, views.draw(x, torch.Generator().manual_seed(8))), made)
    # A process that holds two of the samples makes of them what one with all of them makes.
    own = {name: value[2:4] for name, value in params.items()}
    assert torch.equal(views.apply(x[2:4], own), made[2:4])
    assert views.apply(x[:0], {name: value[:0] for name, value in params.items()}).shape == (0, 1, 9)
    assert draw(views, x, 2, torch.Generator().manual_seed(7), None).keys() == params.keys()


def test_a_transform_of_monai_is_what_monai_does_with_the_seed() -> None:
    from monai.transforms import RandFlip

    views = build(OwnViewsConfig(monai=[{"RandFlip": {"prob": 0.5, "spatial_axis": 0}}]), "views")
    x = torch.arange(24.0).view(4, 1, 3, 2)
    params = views.draw(x, torch.Generator().manual_seed(0))
    flipped = [torch.equal(one, sample.flip(1)) for one, sample in zip(views.apply(x, params), x, strict=True)]
    kept = [torch.equal(one, sample) for one, sample in zip(views.apply(x, params), x, strict=True)]
    assert any(flipped)
    assert any(kept)
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert type(views.apply(x, params)) is torch.Tensor
    assert isinstance(RandFlip, type)


def recipe(views: dict[str, Any], steps: int = 4, **objective: Any) -> dict[str, Any]:
    encoder = {"name": "unet", "dims": 2, "widths": [2, 4, 4], "dim": 4, "stride": 2}
    return {
        "inputs": {"volume": {"data": {"size": [16, 1, 16]}, "views": views, "encoder": encoder}},
        "objectives": {"patient": {"of": "volume", **objective}},
        "batch": {"patients": 3, "samples": 2},
        "optimiser": {"steps": steps},
        "hardware": {"accelerator": "cpu"},
    }


@pytest.mark.parametrize("settings", OWN.values(), ids=OWN)
def test_a_run_with_own_views_resumes_to_the_bit(
    mr_manifest_path: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    medcl.pretrain(recipe(settings), mr_manifest_path, tmp_path / "whole")
    medcl.pretrain(recipe(settings), mr_manifest_path, tmp_path / "parts", until=2)
    medcl.pretrain(tmp_path / "whole" / "recipe.yaml", mr_manifest_path, tmp_path / "parts", resume=True)
    assert (tmp_path / "whole" / runs.WEIGHTS).read_bytes() == (tmp_path / "parts" / runs.WEIGHTS).read_bytes()


def test_own_views_are_among_more_views(mr_manifest_path: Path, tmp_path: Path) -> None:
    content = recipe({"crop_side": [0.6, 0.9]}, kind="swav", small="own", prototypes=4)
    content["inputs"]["volume"]["more_views"] = {"own": {"monai": CHAIN}}
    medcl.pretrain(content, mr_manifest_path, tmp_path / "run")
    assert (tmp_path / "run" / runs.WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("views", "words"),
    [
        (
            {"name": "elsewhere:noisy"},
            "views 'elsewhere:noisy': the module elsewhere is not found: install its package",
        ),
        ({"name": "ownviews:nosy"}, "ownviews has no 'nosy'; did you mean 'noisy'"),
        ({"name": "ownviews:Other"}, r"inputs\.volume\.views\.name: ownviews:Other is neither a subclass of"),
        ({"name": "os:system"}, "os:system is neither a subclass of"),
        ({"name": "subprocess:Popen"}, "subprocess:Popen is neither a subclass of"),
        ({"name": "ownviews:noisy", "arguments": {"loud": 1}}, r"views\.arguments: ownviews:noisy: .*'loud'"),
        ({"name": "ownviews:Louder", "arguments": {"loud": 1}}, r"views\.arguments: ownviews:Louder: .*'loud'"),
        ({"name": "ownviews:Wider"}, r"views ownviews:Wider: of a batch \(\d+, 1, 16, 16\) they return \(\d+, 2"),
        ({"name": "ownviews:Whole"}, r"ownviews:Whole: draw returns 'factor' that is no tensor of \d+ samples"),
        ({"name": "ownviews:shorter"}, r"views ownviews:shorter: of a sample \(1, 16, 16\) they return shape"),
        ({"name": "ownviews:noisy", "monai": CHAIN}, "one of the two"),
        ({"monai": [{"RandFlop": {}}]}, "monai has no array transform 'RandFlop'; did you mean 'RandFlip'"),
        ({"monai": [{"RandFlip": {"chance": 1}}]}, r"views\.monai\.0: RandFlip: .*'chance'"),
        ({"monai": [{"SaveImage": {"output_dir": "/"}}]}, "no array transform 'SaveImage'"),
        ({"monai": [{"Lambda": {"func": "os.system"}}]}, "no array transform 'Lambda'"),
        ({"monai": [{"RandFlip": {}, "RandZoom": {}}]}, "one transform with its arguments"),
        ({"monai": [{"Resize": {"spatial_size": [8, 8]}}]}, "of monai: of a sample .* they return shape"),
        ({"name": "ownviews:noisy", "flip": 0.5}, r"inputs\.volume\.views\.flip"),
    ],
)
def test_what_cannot_be_is_told(mr_manifest_path: Path, tmp_path: Path, views: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        medcl.pretrain(recipe(views, steps=1), mr_manifest_path, tmp_path / "run")


def test_objectives_that_compare_places_take_own_views_that_leave_pixels_in_place(
    mr_manifest_path: Path, tmp_path: Path
) -> None:
    settings = {"name": "ownviews:noisy"}
    for kind in ("pixpro", "slotcon"):
        with pytest.raises(UsageError, match="set in_place: true beside them"):
            medcl.pretrain(recipe(settings, kind=kind), mr_manifest_path, tmp_path / kind)
        medcl.pretrain(recipe({**settings, "in_place": True}, steps=1, kind=kind), mr_manifest_path, tmp_path / kind)
