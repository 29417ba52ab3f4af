"""Cox regression of the engine on the published splits of DeepSurv's tables, beside the published concordance.

`python -m pytest -s tests/evaluate/tasks/test_deepsurv.py` prints the table of docs/results.md.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import medcl

COX = {
    "whas": ("whas_train_test.h5", 0.818),
    "metabric": ("metabric_IHC4_clinical_train_test.h5", 0.631),
    "gbsg": ("gbsg_cancer_train_test.h5", 0.658),
    "support": ("support_train_test.h5", 0.583),
}
"""File, and Harrell's C of Cox regression: Katzman et al., BMC Medical Research Methodology 2018, table 1."""


def scanned(source: Path, folder: Path) -> Path:
    """Tables as a hospital has them, and their manifest: the published test split, a fifth of the rest is val."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(source) as file:
        x, time, event = (np.concatenate([file[part][name][:] for part in ("train", "test")]) for name in "xte")
        n_train = len(file["train"]["t"])
    split = np.where(np.arange(len(x)) < n_train, "train", "test").astype(object)
    split[np.random.default_rng(0).permutation(n_train)[: n_train // 5]] = "val"
    patient = [f"P{i:05d}" for i in range(len(x))]
    (folder / "archive").mkdir()
    table = pd.DataFrame(x, columns=[f"x{i + 1}" for i in range(x.shape[1])])
    table.insert(0, "patient_id", patient)
    table.to_csv(folder / "archive" / "patients.csv", index=False)
    (folder / "archive" / "patients.json").write_text('{"medcl": {"patient": "patient_id"}}')
    labels = pd.DataFrame({"patient_id": patient, "time": time, "event": event})
    labels.to_csv(folder / "labels.csv", index=False)
    output = folder / "manifest.parquet"
    columns = ("time:regression", "event:binary")
    manifest = medcl.scan(
        folder / "archive", output, labels=str(folder / "labels.csv"), patient_column="patient_id",
        target_columns=columns, jobs=1,
    ).value  # fmt: skip
    np.testing.assert_allclose(manifest.column("time"), time, rtol=1e-5)
    manifest.with_column("split", pa.array(list(split), pa.string())).write(output)
    return output


@pytest.mark.acceptance
@pytest.mark.parametrize("name", COX)
def test_the_columns_have_the_published_concordance(name: str, real_data: Path, tmp_path: Path) -> None:
    file, published = COX[name]
    manifest = scanned(real_data / "deepsurv_survival" / file, tmp_path)
    recipe = {"method": "simclr", "table": {"views": {"mix": 0.3}, "encoder": {"dim": 8, "hidden": 8}}}
    recipe |= {"batch": {"patients": 8}, "optimiser": {"steps": 2}, "hardware": {"accelerator": "cpu"}}
    run = medcl.pretrain(recipe, manifest, tmp_path / "run")
    settings = {"labels": ["100%"], "protocols": ["probe"], "repeats": 1, "scratch": False, "jobs": 1}
    results = medcl.finetune(run, manifest, "time", task="survival", event="event", **settings).value
    metrics = ("harrell_c", "uno_c", "ibs")
    found = {metric: results.find("probe", "columns", "100%", metric) for metric in metrics}
    print(name, published, *(f"{m} {row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" for m, row in found.items()))
    assert abs(found["harrell_c"].mean - published) < 0.02
