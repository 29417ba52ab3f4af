"""Linked records as batches: who is drawn with whom, and what is left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.data.loader import loader
from medcl.data.pairs import Linkable, Pairs, linked
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler
from medcl.errors import MedclError
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.samples import ImageSamples
from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.report.samples import Reports
from medcl.modality.sampling import Numbered

from .linked_archive import manifest_of, picture_row, pictures_with_reports, report_row

IMAGES, TEXTS = ImageConfig(size=(8, 8)), TextConfig(length=24)


def sides(manifest: Manifest, store: Path) -> dict[str, Linkable]:
    manifest = manifest.ok()
    pictures = ImageSamples(prepare(manifest, IMAGES, store, jobs=1), manifest, IMAGES)
    words = Tokenizer.train([str(text) for text in manifest.column("report") if text], 400)
    reports = prepare(manifest, TokenisedConfig.of(TEXTS, words, words.fingerprint), store, jobs=1)
    everything = np.arange(len(manifest))
    texts = Reports(reports, manifest, TEXTS)
    return {
        "image": Linkable(Numbered(pictures), everything),
        "report": Linkable(Numbered(texts), everything),
    }


def pairs(manifest: Manifest, store: Path, **options: Any) -> Pairs:
    manifest = manifest.ok()
    return Pairs(sides(manifest, store), manifest, links(manifest), **options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    return pictures_with_reports(folder / "archive", patients=6), folder / "store"


def flat(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    named = {name: x for name, x in batch.items() if isinstance(x, torch.Tensor)}
    return named | {f"{part}.{name}": x for part in ("ids", "present", "inputs") for name, x in batch[part].items()}


def equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    first, second = flat(a), flat(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_holds_pictures_with_their_own_reports(archive: tuple[Manifest, Path]) -> None:
    manifest, store = archive
    found = pairs(manifest, store)
    assert found.complete
    assert len(found) == 12
    batch = found.__getitems__([(item, 3) for item in range(12)])
    assert batch["inputs"]["image"].shape == (12, 1, 8, 8)
    assert batch["inputs"]["report"].dtype == torch.int64
    ids = {name: own.numpy() for name, own in batch["ids"].items()}
    assert set(ids) == set(found.id_names) == {"patient", "item", "image", "report", "text"}
    trial, patient = manifest.column("trial"), manifest.column("patient")
    assert (trial[ids["image"]] == trial[ids["report"]]).all()
    assert (patient[ids["image"]] == ids["patient"]).all()
    assert (ids["item"] == batch["index"].numpy()).all()
    assert not any(found.left_out.values())


def test_draws_depend_on_seed_step_and_item_alone(archive: tuple[Manifest, Path]) -> None:
    found = pairs(*archive)
    several, alone = found.__getitems__([(0, 5), (4, 5), (7, 5)]), found.__getitems__([(4, 5)])
    for name, own in flat(alone).items():
        length = own.shape[1] if name == "inputs.report" else None
        assert (
            torch.equal(flat(several)[name][1:2, :length], own)
            if length
            else torch.equal(flat(several)[name][1:2], own)
        )
    texts = {int(found.__getitems__([(0, step)])["ids"]["text"]) for step in range(20)}
    assert len(texts) == 2, "both sentences of the report are drawn in time"


def test_batches_are_the_same_for_any_number_of_workers_and_shares(archive: tuple[Manifest, Path]) -> None:
    found = pairs(*archive)
    sampler = Sampler.drawing(found, patients=3, records=2, seed=4)
    alone = list(loader(found, sampler, 0, 4))
    assert all(map(equal, alone, loader(found, sampler, 0, 4, workers=2)))
    assert all(map(equal, alone[2:], loader(found, sampler, 2, 4)))
    shares = [list(sampler.batches(0, 4, rank=rank, world=2)) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == list(sampler.batches(0, 4))
    assert len(sampler) == 2
    assert sorted(np.concatenate([batch["ids"]["patient"].unique() for batch in alone[:2]])) == list(range(100, 106))


def test_what_has_no_partner_is_left_out_and_counted(archive: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, _ = archive
    reports = np.flatnonzero(manifest.kinds == "report")
    some = manifest.select(
        np.setdiff1d(np.arange(len(manifest)), [reports[0], *np.flatnonzero(manifest.kinds == "image")[1:3]])
    )
    found = pairs(some, tmp_path / "store")
    assert len(found) == 9
    assert found.left_out == {"images have no partner": 1, "reports describe nothing that is trained on": 2}


def test_a_report_of_a_study_belongs_to_all_its_pictures_and_a_picture_may_have_two(tmp_path: Path) -> None:
    rows = [
        picture_row(tmp_path, number, number % 4, patient=number // 2, study=number // 2, trial=number)
        for number in range(4)
    ]
    rows += [
        report_row(10 + study, f"Report of study {study} with an opacity.", patient=study, study=study)
        for study in (0, 1)
    ]
    rows.append(report_row(20, "Another report on the same thing.", patient=0, study=0))
    manifest = manifest_of(rows, tmp_path)
    found = pairs(manifest, tmp_path / "store")
    drawn = {int(found.__getitems__([(0, step)])["ids"]["report"]) for step in range(20)}
    assert drawn == {4, 6}
    assert {int(found.__getitems__([(item, 0)])["ids"]["report"]) for item in (2, 3)} == {5}


def test_bad_archives_are_refused_in_words(tmp_path: Path) -> None:
    one = pictures_with_reports(tmp_path / "one", patients=1)
    with pytest.raises(MedclError, match="all linked records are of one patient"):
        pairs(one, tmp_path / "store")
    same = pictures_with_reports(tmp_path / "same", patients=3, text=lambda pattern, number: "No acute finding.")
    with pytest.raises(MedclError, match="all 6 linked reports have the same text"):
        pairs(same, tmp_path / "store")
    rows = [picture_row(tmp_path, number, 0, patient=number, study=number, trial=number) for number in range(3)]
    rows += [report_row(number, "An opacity is seen.", patient=9, study=9) for number in range(2)]
    with pytest.raises(MedclError, match=r"no two records belong together \(3 of kind image, 2 of kind report\)"):
        pairs(manifest_of(rows, tmp_path), tmp_path / "store")


def test_three_kinds_are_linked_within_the_study_then_the_patient() -> None:
    rows = [
        {"kind": "image", "patient": 1, "study": 10},
        {"kind": "image", "patient": 1, "study": 11},
        {"kind": "signal", "patient": 1, "study": 10},
        {"kind": "signal", "patient": 2, "study": 20},
        {"kind": "report", "patient": 1, "study": 10},
        {"kind": "report", "patient": 2, "study": 20},
        {"kind": "image", "patient": 3, "study": 30},
    ]
    about: dict[str, dict[str, Any]] = {
        "image": {"modality": "xray", "format": "png"},
        "signal": {"modality": "ecg", "format": "wfdb"},
        "report": {"modality": "report", "format": "text"},
    }
    table = [{"record_id": str(n), "status": "ok", **about[str(row.pop("kind"))], **row} for n, row in enumerate(rows)]
    manifest = manifest_of(table, Path())
    own = {kind: np.flatnonzero(manifest.kinds == kind) for kind in ("image", "signal", "report")}
    whole = linked(manifest, links(manifest), own)
    assert whole.anchors.tolist() == [0, 1]
    assert whole.of("signal", 0).tolist() == [2]
    assert whole.of("signal", 1).tolist() == [2], "of the patient, where the study has none"
    assert whole.of("report", 1).tolist() == [4], "of the partner, where the anchor has none"
    some = linked(manifest, links(manifest), own, incomplete=True)
    assert some.anchors.tolist() == [0, 1, 3], (
        "a recording with a report but no picture counts, a lone picture does not"
    )
    assert some.has("image").tolist() == [True, True, False]
    needed = linked(manifest, links(manifest), own, incomplete=True, needs="image")
    assert needed.anchors.tolist() == [0, 1]
