"""Every shipped recipe trains and is of use, and one of each kind resumes; two processes train it as one."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.data.ahead import ahead
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.embed.encoders import sides_of
from medcl.errors import UsageError
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.multimodal_space import require_multimodal
from medcl.explore.embeddings import Embeddings
from medcl.pretrain.devices import fabric_for
from medcl.pretrain.plan import Plan
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.run import pretrain
from medcl.pretrain.trainer import step_seed

from . import shipped

ROOT, LIMIT = Path(__file__).parents[2], 300
STEPS, TOGETHER, BATCHES = 24, 3, 8
FAST: dict[str, Any] = {"optimiser": {"learning_rate": 1e-2}}
SLOW = "symile", "eeg_identity", "y_aware"
CHANGES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("mv_infonce", "mochi", "moco_v2", "moco_v2_filtered", *SLOW), FAST),
    "supremix": {**FAST, "objectives": {"age": {"temperature": 0.1}}},
    "w_mse": {**FAST, "objectives": {"views": {"head": {"dim": 4}}}},
    **dict.fromkeys(("debiased", "hard_negatives"), {"objectives": {"views": {"temperature": 0.1}}}),
    "table_simclr": {"objectives": {"global": {"temperature": 0.1}}},
}
"""Of what learns too little in a few steps for a fall of the loss to be told from its noise."""
LONGER = {"w_mse": 100}
"""Steps of what begins to learn later: whitened vectors of few samples are nearly orthogonal."""
COUNTED = {"lvm_med"}
"""Whose loss counts the images that are matched wrongly, few of so few: `test_matching` trains it until they fall."""
FILLING = 4
"""First steps that do not count where a queue fills in them: with each more negative the loss rises."""
SIDES = {"sepclr": ("common", "salient"), "mvcnet": ("network",), "m3col_omics": ("mirna",)}
"""Names of encoders, where a run has several of one modality."""
UNUSED = {
    "mvcnet": ["encoders.other.patches.mask_token"],
    "m3col_omics": [f"objectives.classes.all.missing.{number}" for number in range(3)],
}
"""Weights that a method has no use for: nothing is masked, and nobody lacks a table."""
APART = {
    "m3col": "rows are mixed within a process",
    "m3col_omics": "rows are mixed within a process",
    "slotcon": "its projector normalises over a process",
    "supremix": "mixtures are made within a process",
    "w_mse": "the features of a new network hardly differ, and whitening magnifies how they are rounded",
}
"""Why two processes do not give one process's losses."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks as small as these wait longer for other threads than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def manifest_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.write_archive(tmp_path_factory.mktemp("all"))


@pytest.fixture(scope="module")
def manifest(manifest_path: Path) -> Manifest:
    return Manifest.read(manifest_path)


@pytest.fixture(scope="module")
def start(manifest: Manifest, manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Runs that others begin with: with statistics of a batch, and without."""
    folder = tmp_path_factory.mktemp("start")
    for shared in (False, True):
        recipe = shipped.tiny(shipped.START, 2, shared=shared)
        pretrain(recipe, manifest, manifest_path.with_suffix(".store"), folder / str(shared))
    return {shared: folder / str(shared) for shared in (False, True)}


def curve(folder: Path) -> list[dict[str, float]]:
    apart = {"stage", "samples_per_second"}
    with (folder / runs.METRICS).open() as lines:
        rows = csv.DictReader(lines)
        return [{name: float(value) for name, value in row.items() if value and name not in apart} for row in rows]


def checkpoint(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / runs.CHECKPOINT, weights_only=True)
    return found


def assert_same(one: Any, other: Any) -> None:
    """Equal to the bit."""
    if isinstance(one, torch.Tensor):
        # What a loss has not seen yet may be NaN in its state.
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_same(value, other[name])
    elif isinstance(one, list):
        for value, more in zip(one, other, strict=True):
            assert_same(value, more)
    else:
        assert one == other


def needed(name: str) -> None:
    if module := shipped.machinery(name):
        pytest.skip(f"{module} is not there")


def untrained(recipe: Recipe, manifest: Manifest, store: Path, folder: Path) -> list[str]:
    """Parameters of the last stage that no gradient has reached in any step."""
    model = Plan.of(recipe, manifest, store).model(recipe.trained[-1], None)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    state = checkpoint(folder)["optimiser"]["state"]
    return [name for n, name in enumerate(names) if n not in state or not state[n]["exp_avg_sq"].any()]


def losses_of_first_batches(recipe: Recipe, manifest: Manifest, store: Path, folder: Path) -> tuple[float, float]:
    """Of new weights and of trained ones: the same views of the same samples, which tells more than a curve's noise."""
    plan, stage = Plan.of(recipe, manifest, store), recipe.trained[0]
    torch.manual_seed(recipe.seed)
    models = [plan.model(stage, None, told=False) for _ in range(2)]
    # What is counted or kept beside the weights is new for both.
    trained, kept = checkpoint(folder)["method"], dict(models[1].named_buffers())
    models[1].load_state_dict({name: value for name, value in trained.items() if name not in kept}, strict=False)
    batches = plan.batches(0, stage, fabric_for(recipe.hardware, ()), 0, BATCHES)
    weights = plan.weights(stage, 0.5)
    found = np.zeros((BATCHES, 2))
    for step, batch in enumerate(ahead(batches, torch.device("cpu"))):
        for number, model in enumerate(models):
            torch.manual_seed(step)
            losses = model(batch, torch.Generator().manual_seed(step_seed(recipe.seed, step)), tuple(weights))
            found[step, number] = sum(weights[name] * float(loss.detach()) for name, loss in losses.items())
    before, after = found.mean(axis=0)
    return float(before), float(after)


def of_each_kind(*, others: bool = False) -> list[Any]:
    """All recipes; those that differ only in losses and views from one before them are left to the longer tests.

    Losses by themselves are shared among processes in `tests/contrast`.

    Args:
        others: just those that are left to the longer tests.
    """
    seen: set[Any] = set()
    found: list[Any] = []
    for name in shipped.RECIPES:
        kind = shipped.machinery_of(name)
        if not others:
            found.append(pytest.param(name, marks=pytest.mark.acceptance if kind in seen else ()))
        elif kind in seen:
            found.append(name)
        seen.add(kind)
    return found


@pytest.mark.parametrize("name", of_each_kind())
def test_a_recipe_learns_and_serves(
    name: str, manifest: Manifest, manifest_path: Path, start: dict[bool, Path], tmp_path: Path
) -> None:
    needed(name)
    store, folder = manifest_path.with_suffix(".store"), tmp_path / "run"
    recipe = shipped.tiny(name, LONGER.get(name, STEPS), start[False], **CHANGES.get(name, {}))
    pretrain(recipe, manifest, store, folder)
    rows = curve(folder)
    assert len(rows) == recipe.steps
    assert np.isfinite([value for row in rows for value in row.values()]).all()
    if "queue" in str(shipped.content(name)) or len(recipe.trained) > 1:
        first = [row["total"] for row in rows[FILLING : recipe.trained[0].steps]]
        assert np.mean(first[-STEPS // 3 :]) < np.mean(first[: STEPS // 6])
    elif name not in COUNTED:
        before, after = losses_of_first_batches(recipe, manifest, store, folder)
        assert after < before
    assert untrained(recipe, manifest, store, folder) == UNUSED.get(name, [])
    loaded = runs.load(folder)
    assert all(value.isfinite().all() for value in loaded.encoder.state_dict().values())
    for side in SIDES.get(name, ("",)):
        serves(folder, manifest, store, tmp_path, side)


@pytest.mark.parametrize("name", of_each_kind(others=True))
def test_a_recipe_trains(
    name: str, manifest: Manifest, manifest_path: Path, start: dict[bool, Path], tmp_path: Path
) -> None:
    needed(name)
    store, folder = manifest_path.with_suffix(".store"), tmp_path / "run"
    recipe = shipped.tiny(name, 2, start[False], **CHANGES.get(name, {}))
    pretrain(recipe, manifest, store, folder)
    assert np.isfinite([value for row in curve(folder) for value in row.values()]).all()
    assert untrained(recipe, manifest, store, folder) == UNUSED.get(name, [])
    embed_manifest(folder, manifest, EmbedConfig(split="test", jobs=1), store, tmp_path / "embedded.parquet")


def serves(folder: Path, manifest: Manifest, store: Path, out: Path, side: str) -> None:
    """A run embeds, and its embeddings are probed."""
    config = EmbedConfig(split="test", side=side, jobs=1)
    embedded = embed_manifest(folder, manifest, config, store, out / f"embedded{side}.parquet")
    vectors = Embeddings.read(embedded.path).vectors()
    assert len(vectors) > 2
    assert np.isfinite(vectors).all()
    assert vectors.std(axis=0).any()
    if set(runs.load(folder).config["inputs"]) == {"report"}:
        return  # Reports carry no labels.
    probe = EvaluateConfig(
        "age",
        labels=["100%"],
        protocols=["probe"],
        baselines=["none"],
        repeats=1,
        bootstrap=4,
        jobs=1,
        side=side,
        save_models="none",
        allow_transductive=True,
    )
    assert np.isfinite(finetune([folder], manifest, probe, store, out / f"probe{side}").scores[0].metrics["mae"])


def test_encoders_without_a_common_space_are_told_apart_by_name(
    manifest: Manifest, manifest_path: Path, tmp_path: Path
) -> None:
    store, folder = manifest_path.with_suffix(".store"), tmp_path / "run"
    pretrain(shipped.tiny("sepclr", 2), manifest, store, folder)
    one = {name: sides_of(folder, "image", name)[0].network.state_dict() for name in SIDES["sepclr"]}
    both = runs.load(folder).encoder
    for name, weights in one.items():
        assert_same(weights, both.side(name).state_dict())
    assert any(not torch.equal(value, one["salient"][key]) for key, value in one["common"].items())
    with pytest.raises(UsageError, match="no common space to retrieve in"):
        require_multimodal(runs.load(folder))
    probe = EvaluateConfig("age", labels=["100%"], protocols=["probe"], side="salien", jobs=1)
    with pytest.raises(UsageError, match="--side 'salien' is none of common, salient; did you mean 'salient'"):
        finetune([folder], manifest, probe, store, tmp_path / "probe")


@pytest.mark.parametrize("name", of_each_kind())
def test_a_recipe_resumes_to_the_bit(
    name: str, manifest: Manifest, manifest_path: Path, start: dict[bool, Path], tmp_path: Path
) -> None:
    needed(name)
    store, whole, folder = manifest_path.with_suffix(".store"), tmp_path / "whole", tmp_path / "run"
    recipe = shipped.tiny(name, STEPS, start[False], **CHANGES.get(name, {}))
    # Over the border of two stages, where there is one.
    stop = recipe.trained[0].steps - 2 if len(recipe.trained) > 1 else 3
    pretrain(recipe, manifest, store, whole, until=stop + 4)
    pretrain(recipe, manifest, store, folder, until=stop)
    pretrain(recipe, manifest, store, folder, resume=True, until=stop + 4)
    assert_same(checkpoint(folder), checkpoint(whole))


@pytest.fixture(scope="module")
def on_two(
    request: pytest.FixtureRequest,
    manifest_path: Path,
    start: dict[bool, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with the first steps of each recipe that is asked for, trained by two processes."""
    folder = tmp_path_factory.mktemp("on2")
    calls = []
    asked = [one for one in request.session.items if one.name.startswith("test_two_processes_train_a_recipe_as_one[")]
    for name in (str(one.callspec.params["name"]) for one in asked if isinstance(one, pytest.Function)):
        if shipped.machinery(name):
            continue
        (folder / f"{name}.yaml").write_text(shipped.tiny(name, STEPS, start[True], shared=True).as_yaml())
        words = ["pretrain", folder / f"{name}.yaml", "--manifest", manifest_path, "-o", folder / name]
        calls.append([*map(str, words), "--hardware.devices", "2", "--until", str(TOGETHER)])
    program = [sys.executable, "-m", "tests.pretrain.commands", json.dumps(calls)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", of_each_kind())
def test_two_processes_train_a_recipe_as_one(
    name: str, on_two: Path, manifest: Manifest, manifest_path: Path, start: dict[bool, Path], tmp_path: Path
) -> None:
    needed(name)
    recipe = shipped.tiny(name, STEPS, start[True], shared=True)
    pretrain(recipe, manifest, manifest_path.with_suffix(".store"), tmp_path / "on1", until=TOGETHER)
    one, two = curve(tmp_path / "on1"), curve(on_two / name)
    assert len(one) == len(two) == TOGETHER
    for step, (alone, together) in enumerate(zip(one, two, strict=True)):
        if name in APART:
            assert np.isfinite(list(together.values())).all()
        else:
            # AdamW's first steps are as large for gradients that are nothing but rounding.
            assert together == pytest.approx(alone, rel=1e-3 if step else 5e-5, abs=1e-5)
