"""`medcl finetune` on label maps: what it measures, what it refuses, what does not change it."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.data.prepare import prepare
from medcl.documents import plain
from medcl.errors import LeakError, MedclError, UsageError
from medcl.evaluate.cells import FOLDER
from medcl.evaluate.compare import compare
from medcl.evaluate.config import EvaluateConfig, SegmentConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.mirrored import Mirrored, keeping_sides
from medcl.evaluate.models import load
from medcl.evaluate.prediction import predict as apply
from medcl.evaluate.results import Results
from medcl.evaluate.segment_predict import HeldOut, predict
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from medcl.phantom.scan_files import write_nifti
from tests.evaluate.segment_archive import CLASSES, NETWORK, scan, write_heads, write_run

torch.set_num_threads(1)
CONFIG = EvaluateConfig(
    target="mask",
    labels=["1", "2"],
    repeats=2,
    bootstrap=20,
    segment=SegmentConfig(iterations=10, batch=4, evaluate_every=4, validation_volumes=1),
    jobs=1,
)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(heads: Path) -> Manifest:
    return Manifest.read(heads / "mr.parquet")


@pytest.fixture(scope="module")
def run(heads: Path, manifest: Manifest) -> Path:
    return write_run(heads / "run", manifest)


@pytest.fixture(scope="module")
def evaluated(heads: Path, run: Path, manifest: Manifest) -> tuple[Results, Path]:
    output = heads / "out"
    config = replace(CONFIG, save_masks=True)
    return finetune([run], manifest, config, heads / "store", output), output


def numbers(results: Results) -> list[str]:
    return sorted(map(str, (*results.scores, *results.learning)))


ORGANS = ("background", "liver", "left_kidney")
AXIAL, SAGITTAL, CUBES = (VolumeConfig(size=size) for size in ((8, 8, 1), (1, 8, 8), (8, 8, 8)))


def mirroring(**settings: object) -> EvaluateConfig:
    return replace(CONFIG, segment=replace(CONFIG.segment, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [AXIAL, CUBES])
def test_sides_are_not_exchanged_where_classes_name_them(data: VolumeConfig) -> None:
    kept, notes = keeping_sides(CONFIG, ORGANS, data)
    assert (CONFIG.segment.views.flip, kept.segment.views.flip) == (0.5, 0.0)
    assert replace(kept.segment.views, flip=0.5) == CONFIG.segment.views
    assert notes == ["Patches were not mirrored from right to left, since 'left_kidney' has a side."]
    both = mirroring(views=replace(CONFIG.segment.views, flip_axes=(0, 1)))
    assert keeping_sides(both, ORGANS, data)[0].segment.views.flip_axes == (1,)
    with pytest.raises(UsageError, match="axis 0 exchanges right and left, and 'left_kidney' has a side"):
        keeping_sides(mirroring(mirror=(0,)), ORGANS, data)


def test_patches_without_sides_are_mirrored_as_asked_for() -> None:
    for config, classes, data in (
        (CONFIG, ORGANS[:2], AXIAL),
        (mirroring(mirror=(0,)), ("background", "uprights"), CUBES),
        (mirroring(mirror=(0,)), ORGANS, SAGITTAL),
    ):
        assert keeping_sides(config, classes, data) == (config, [])


def test_every_volume_is_measured_beside_random_weights(evaluated: tuple[Results, Path], manifest: Manifest) -> None:
    results, output = evaluated
    assert plain(Results.load(output / "results.json")) == plain(results)
    assert len(results.scores) == len(results.learning) == 2 * 2 * 2
    assert results.splits["test"].records == len(manifest.split_rows("test"))
    for score in results.scores:
        assert tuple(score.per_class) == CLASSES[1:]
        assert 0 <= score.metrics["dice"] <= 1
    assert {curve.iterations for curve in results.learning} == {(4, 8, 10)}
    for row in results.differences:
        means = {
            arm: np.mean([s.metrics[row.metric] for s in results.repeats("finetune", arm, row.label)])
            for arm in ("pretrained", "random")
        }
        assert row.mean == pytest.approx(means["pretrained"] - means["random"])
    assert [f.patients for f in results.fractions] == [1, 2]


def test_the_page_shows_slices_and_curves_and_no_patient(evaluated: tuple[Results, Path], manifest: Manifest) -> None:
    page = (evaluated[1] / "report.html").read_text()
    assert page.count('<img src="data:image/png;base64') == 8
    assert '"learning-0"' in page
    assert "95% Hausdorff distance" in page
    assert not re.search(r"P\d{4}(_v\d|/)", page)
    assert not any(str(code) in page for code in manifest.column("patient"))


def test_a_predicted_mask_lies_on_its_volume(evaluated: tuple[Results, Path], manifest: Manifest) -> None:
    folder = evaluated[1] / "masks" / "pretrained" / "1"
    ids, paths = manifest.column("record_id"), manifest.column("path")
    test = manifest.split_rows("test")
    assert len(list(folder.iterdir())) == len(test)
    for row in test:
        mask, volume = nib.load(folder / f"{ids[row]}.nii.gz"), nib.load(manifest.root / paths[row])
        assert mask.shape == volume.shape
        np.testing.assert_allclose(mask.affine, volume.affine, atol=1e-4)


def test_the_number_of_processes_changes_nothing(
    evaluated: tuple[Results, Path], heads: Path, run: Path, manifest: Manifest, tmp_path: Path
) -> None:
    config = replace(CONFIG, labels=["1"], repeats=1, jobs=2)
    shutil.copytree(heads / "store", tmp_path / "store", ignore=shutil.ignore_patterns(FOLDER))
    again = finetune([run], manifest, config, tmp_path / "store", tmp_path / "out")
    assert len(again.scores) == 2
    assert set(numbers(again)) < set(numbers(evaluated[0]))


def test_what_is_finished_is_not_computed_again(
    evaluated: tuple[Results, Path], heads: Path, run: Path, manifest: Manifest, tmp_path: Path
) -> None:
    folder = heads / "store" / FOLDER
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    gone, damaged = sorted(finished)[:2]
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-40])
    again = finetune([run], manifest, CONFIG, heads / "store", tmp_path)
    assert numbers(again) == numbers(evaluated[0])
    changed = {path for path, time in finished.items() if path.stat().st_mtime_ns != time}
    assert changed == {gone, damaged}


def test_another_pretraining_shares_the_random_baseline_and_is_compared(
    evaluated: tuple[Results, Path], heads: Path, manifest: Manifest, tmp_path: Path
) -> None:
    # As after a local stage: a part of the decoder is pretrained as well, and the embedding is another one.
    other = write_run(tmp_path / "local", manifest, network=replace(NETWORK, stride=2, dim=3), seed=6)
    before = set((heads / "store" / FOLDER).glob("*.npz"))
    results = finetune([other], manifest, CONFIG, heads / "store", tmp_path / "out")
    assert len(set((heads / "store" / FOLDER).glob("*.npz")) - before) == 4, "of the pretrained side only"
    assert results.summary != evaluated[0].summary
    both = compare([evaluated[1] / "results.json", tmp_path / "out" / "results.json"], ["G", "G + L"])
    assert [arm.name for arm in both.arms] == ["G", "G + L", "random"]
    assert both.difference("finetune", "G", "G + L", "1", "dice") is not None


def test_both_sides_differ_in_pretrained_weights_only(run: Path, manifest: Manifest, heads: Path) -> None:
    from medcl import runs
    from medcl.evaluate.segment_train import build

    loaded = runs.load_volumes(run)
    first, second = build(loaded.card, 3, 0, loaded.encoder).state_dict(), build(loaded.card, 3, 0).state_dict()
    pretrained = loaded.encoder.network.state_dict()
    for name, weights in first.items():
        source = pretrained.get(name.removeprefix("network."), second[name])
        assert torch.equal(weights, source), name


class ByIntensity(nn.Module):
    """Knows the classes by the intensity, from 0 to 1, that they have in the images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = torch.linspace(0, 1, 3).reshape(-1, *[1] * (x.ndim - 2))
        return -((x - levels) ** 2)


@pytest.mark.parametrize("size", [(7, 1, 9), (16, 16, 1), (6, 7, 5), (20, 8, 8)])
def test_a_perfect_prediction_has_dice_one_on_the_grid_of_the_file(tmp_path: Path, size: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    rows = ["record,patient,lesion"]
    for number, orientation in enumerate(("RAS", "LPS", "PIR")):
        labels = rng.integers(0, 3, (11, 12, 10)).astype(np.uint8)
        affine = np.diag([1.0, 2.0, 3.0, 1.0])
        write_nifti(tmp_path / "mr" / f"p{number}" / "v.nii.gz", labels * 100, affine, orientation=orientation)
        write_nifti(tmp_path / "masks" / f"p{number}" / "v.nii.gz", labels, affine, orientation=orientation)
        rows.append(f"p{number}/v,p{number},{orientation}")
    (tmp_path / "mr" / "labels.csv").write_text("\n".join(rows) + "\n")
    manifest = scan(tmp_path, ("background", "one", "two"), (1, 1, 1))
    data = VolumeConfig(size=size, percentiles=(0, 100))
    store = prepare(manifest, data, tmp_path / "store", jobs=1)
    test = HeldOut(store.folder, manifest, np.arange(3), manifest.masks["mask"], data)
    dice, hd95 = test.measure(ByIntensity(), 0.5, torch.device("cpu"))
    np.testing.assert_array_equal(dice, np.ones((2, 3)))
    np.testing.assert_array_equal(hd95, np.zeros((2, 3)))


def test_a_broken_label_map_is_reported_and_left_out(tmp_path: Path) -> None:
    manifest = write_heads(tmp_path)
    run = write_run(tmp_path / "run", manifest)
    first = manifest.split_rows("test")[0]
    broken = manifest.root / str(manifest.column("mask")[first])
    broken.write_bytes(broken.read_bytes()[:60])
    config = replace(CONFIG, labels=["1"], repeats=1)
    results = finetune([run], manifest, config, tmp_path / "store", tmp_path / "out")
    tested = len(manifest.split_rows("test")) - 1
    assert results.splits["test"].records == tested
    assert any(note.startswith(f"1 of {tested + 1} volumes of the split test was left out") for note in results.notes)


def test_patients_of_the_pretraining_are_not_tested(heads: Path, manifest: Manifest, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", manifest, split="test")
    with pytest.raises(LeakError, match="--allow-transductive"):
        finetune([run], manifest, CONFIG, heads / "store", tmp_path)
    config = replace(CONFIG, allow_transductive=True, labels=["1"], repeats=1)
    results = finetune([run], manifest, config, heads / "store", tmp_path)
    assert any("Transductive" in note for note in results.notes)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": "liver"}, UsageError, "mask"),
        ({"labels": ["50"]}, UsageError, "has 4"),
        ({"labels": ["many"]}, UsageError, "many"),
        ({"repeats": 0}, UsageError, "repeats"),
        ({"segment": SegmentConfig(iterations=0)}, UsageError, "iterations"),
        ({"segment": SegmentConfig(loss="hinge", iterations=1)}, MedclError, "hinge"),
    ],
)
def test_invalid_calls_are_refused(
    run: Path,
    manifest: Manifest,
    heads: Path,
    tmp_path: Path,
    change: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        finetune([run], manifest, replace(CONFIG, **change), heads / "store", tmp_path)  # type: ignore[arg-type]


def test_a_network_without_a_decoder_is_refused(manifest: Manifest, heads: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", manifest, network=ImageEncoderConfig("resnet", widths=(2, 2, 2, 2), dim=4))
    with pytest.raises(UsageError, match=r"no decoder.*unet, monai-unet, swin-unetr"):
        finetune([run], manifest, CONFIG, heads / "store", tmp_path)


@pytest.mark.parametrize(
    ("network", "size", "segment"),
    [
        (ImageEncoderConfig("monai-unet", widths=(2, 4), dim=4), (16, 1, 8), {"mixup": 0.2}),
        (ImageEncoderConfig("unet", dims=3, widths=(2, 4), dim=4), (12, 12, 6), {"loss": "dice-ce"}),
        (ImageEncoderConfig("unet", widths=(2, 4), dim=4, norm="group"), (10, 10, 1), {"validation_volumes": 0}),
    ],
)
def test_other_networks_and_settings(
    manifest: Manifest,
    heads: Path,
    tmp_path: Path,
    network: ImageEncoderConfig,
    size: tuple[int, ...],
    segment: dict[str, object],
) -> None:
    run = write_run(tmp_path / "run", manifest, network=network, data=VolumeConfig(size=size))
    settings = replace(CONFIG.segment, iterations=2, **segment)  # type: ignore[arg-type]
    config = replace(CONFIG, labels=["50%"], repeats=1, segment=settings)
    results = finetune([run], manifest, config, heads / "store", tmp_path / "out")
    assert all(0 <= score.metrics["dice"] <= 1 for score in results.scores)
    assert bool(results.speed) == (settings.validation_volumes > 0)
    assert (tmp_path / "out" / "report.html").is_file()


def test_subsets_are_nested_and_of_patients(manifest: Manifest) -> None:
    from medcl.evaluate.fractions import random_order
    from medcl.evaluate.label_fraction import parse

    rows = manifest.split_rows("train")
    for seed in range(5):
        ordering = random_order(manifest.column("patient"), rows, seed=seed)
        subsets = [ordering.take(parse(text)) for text in ("1", "50%", "3", "100%")]
        assert [subset.n_patients for subset in subsets] == [1, 2, 3, 4]
        assert all(set(a.rows) < set(b.rows) for a, b in zip(subsets, subsets[1:], strict=False))


def test_the_command_takes_label_maps_for_a_target(heads: Path, run: Path, tmp_path: Path, capsys) -> None:
    flags = ["--segment.iterations", "3", "--repeats", "1", "--labels", "1", "--jobs", "1", "-o", str(tmp_path)]
    assert main(["finetune", str(run), "--manifest", str(heads / "mr.parquet"), "--target", "mask", *flags]) == 0
    assert "Dice on 2 test patients" in capsys.readouterr().out
    assert (tmp_path / "results.json").is_file()


def test_whole_slices_and_windows_predict_alike(heads: Path, manifest: Manifest) -> None:
    """Of a network that sees no further than a voxel the same; slices that a window holds are whole anyway."""
    data = VolumeConfig(size=(8, 8, 1))
    store = prepare(manifest, data, heads / "whole", jobs=1)
    patches = VolumePatches(store, manifest.select(manifest.split_rows("test")), data, mask="mask")
    torch.manual_seed(0)
    network = nn.Conv2d(1, 3, 1)
    found = [predict(network, patches, 0, None, torch.device("cpu"), whole=one) for one in (False, True)]
    assert len(np.unique(found[0])) > 1
    np.testing.assert_array_equal(*found)


def test_logits_are_averaged_over_mirror_images() -> None:
    torch.manual_seed(0)
    network, x = nn.Conv2d(1, 3, 3, padding=1), torch.randn(2, 1, 5, 4)
    by_hand = (
        network(x) + network(x.flip(2)).flip(2) + network(x.flip(3)).flip(3) + network(x.flip(2, 3)).flip(2, 3)
    ) / 4
    both = Mirrored(network, (0, 1))
    torch.testing.assert_close(both(x), by_hand)
    torch.testing.assert_close(both(x.flip(2)), both(x).flip(2))
    with pytest.raises(UsageError, match="the axes 0 to 1"):
        Mirrored(network, (2,))(x)


def test_a_model_mirrors_as_its_report_did(heads: Path, run: Path, manifest: Manifest, tmp_path: Path) -> None:
    segment = replace(CONFIG.segment, iterations=4, mirror=(1,))
    config = replace(CONFIG, labels=["1"], repeats=1, scratch=False, segment=segment, save_masks=True)
    finetune([run], manifest, config, heads / "store", tmp_path / "out")
    (folder,) = (tmp_path / "out" / "models").iterdir()
    model = load(folder)
    assert model.info.mirror == (1,)
    assert isinstance(model.network, Mirrored)
    apply(model, manifest, heads / "store", split="test", masks=tmp_path / "masks")
    reported = {path.name: path.read_bytes() for path in (tmp_path / "out" / "masks" / "pretrained" / "1").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()} == reported
    with pytest.raises(UsageError, match="each once"):
        finetune([run], manifest, replace(config, segment=replace(segment, mirror=(1, 1))), heads / "store", tmp_path)
