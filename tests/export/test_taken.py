"""The network that is taken away gives what the run or the model gives, for every task, protocol and pooling."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.evaluate.finetune import finetune
from medcl.evaluate.models import load
from medcl.export.folder import compared
from medcl.export.taken import take
from medcl.modality.image.config import ImageConfig
from medcl.modality.table.config import TableConfig, TableEncoderConfig
from medcl.modality.table.encoders import TableCard
from medcl.networks.pooling import Pooling
from tests.data.report_archive import manifest as reports
from tests.embed import archives
from tests.evaluate import signal_run
from tests.evaluate.test_models import CONFIG, ITEMS, in_time, multilabel

torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["classes", "labels", "regression", *ITEMS])
def test_models_of_every_task(name: str, ecg_manifest: Manifest, tmp_path: Path) -> None:
    """Whose predictions are those of the saved model, temperature and learned pooling included."""
    run = signal_run.write_run(tmp_path / "run", ecg_manifest)
    plain = {"classes": {"target": "diagnosis"}, "labels": {"target": "many"}, "regression": {"target": "age"}}
    config = replace(CONFIG, repeats=1, protocols=["probe", "finetune"], **{**plain, **ITEMS}[name])  # type: ignore[arg-type]
    finetune([run], in_time(multilabel(ecg_manifest)), config, tmp_path / "store", tmp_path / "eval")
    kinds = {folder: load(folder).info.arm.kind for folder in (tmp_path / "eval" / "models").iterdir()}
    assert set(kinds.values()) == {"run", "baseline"}
    for folder, kind in kinds.items():
        if kind == "baseline":
            with pytest.raises(UsageError, match="simple baseline"):
                take(folder)
            continue
        taken = take(folder)
        records = [taken.examples(seed)[0] for seed in range(3)]
        difference, largest = compared(taken.original, taken.network, records)
        assert largest > 0
        assert difference < 1e-5 * max(1, largest)
        if "temperature" in taken.about and name == "classes":
            # A network that forgets the temperature is found out.
            taken.network.temperature *= 2  # type: ignore[operator,assignment]
            assert compared(taken.original, taken.network, records)[0] > 1e-4


@pytest.mark.parametrize("name", ["mean", "max", "top-k", "attention", "gated"])
@pytest.mark.parametrize("samples", [1, 5, 40])
def test_one_group_is_pooled_as_several(name: str, samples: int) -> None:
    torch.manual_seed(0)
    pooling, z = Pooling(name, 6, top_k=8), torch.randn(samples, 6)  # type: ignore[arg-type]
    wanted = pooling(z, torch.zeros(samples, dtype=torch.int64), 1)
    torch.testing.assert_close(pooling.whole(z), wanted)


def test_sides_of_a_run_on_several_inputs_are_named(tmp_path: Path) -> None:
    texts = ["The heart is not enlarged.", "No effusion is seen.", "A nodule in the left lung."]
    run = archives.save(tmp_path / "run", archives.joint(reports(texts, tmp_path)))
    with pytest.raises(UsageError, match="encoders of image, report: name the input of one with --side"):
        take(run)
    for side, dim in (("image", 8), ("report", 8)):
        taken = take(run, side)
        assert (taken.about["dim"], taken.about["of_length_1"]) == (dim, True)
        inputs = taken.examples()
        assert compared(taken.original, taken.network, inputs)[0] < 1e-6
        assert taken.network(inputs[0]).detach().norm(dim=1).numpy() == pytest.approx(np.ones(4), abs=1e-5)


def test_made_up_samples_have_the_shape_that_each_encoder_takes(tmp_path: Path) -> None:
    config = TableConfig(columns=["a", "sex"], units={}, classes={"sex": ["f", "m"]}, scale={"a": [0.0, 1.0]})
    cards = {
        "table": TableCard(TableEncoderConfig(dim=8, hidden=8), asdict(config)),
        "colour": replace(archives.pictures(), n_channels=3, data=asdict(ImageConfig(size=(24, 16), colour=True))),
    }
    for name, card in cards.items():
        taken = take(archives.save(tmp_path / name, card))  # type: ignore[arg-type]
        for x in taken.examples():
            assert x.ndim == 1 + len(taken.preprocessing.axes)
            assert taken.network(x).shape == (len(x), taken.about["dim"])
