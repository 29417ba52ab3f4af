"""Apply finished models: predict."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medcl.commands.arguments import ManifestSource, PathSource, Result, manifest_and_store, quarantined
from medcl.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from medcl.evaluate.models import Model


def load(model: PathSource) -> "Model":
    """Load a finished model.

    Args:
        model: model folder, OUTPUT/models/NAME of `medcl finetune`.

    Returns:
        What predicts: `load(model).predict(record)`.

    Raises:
        MedclError: it is no model folder, is damaged, or was written by a newer medcl.
    """
    from medcl.evaluate.models import load

    return load(Path(model))


def predict(
    model: PathSource,
    manifest: ManifestSource,
    output: PathSource,
    *,
    split: str = "",
    by: Literal["record", "patient"] = "record",
    threshold: Literal["youden", "specificity"] = "youden",
    store: PathSource | None = None,
    jobs: int = -1,
) -> "Result[pa.Table]":
    """Apply a model that `medcl finetune` has saved to the records of a manifest.

    Args:
        model: model folder, RUN/eval/TARGET/latest/models/NAME.
        manifest: manifest that `medcl scan` wrote.
        output: the Parquet file of predictions; label maps go into the folder of the same name without `.parquet`.
        split: split whose records are predicted; default: all.
        by: a row a `record`, or a `patient` with the mean prediction of its records.
        threshold: rule by which classes are decided for: highest sensitivity + specificity on the validation patients
            (`youden`), or a specificity of 0.90 on them (`specificity`).
        store: folder of prepared records; default: beside the manifest.
        jobs: number of processes that decode records; -1 is one a core.

    Returns:
        The table of predictions.

    Raises:
        UsageError: the manifest is empty or of another modality, or the file is there.
        MedclError: the model cannot be loaded, or no record can be decoded.
    """
    from medcl import parquet
    from medcl.evaluate import prediction
    from medcl.evaluate.models import load

    path = Path(output)
    folder = path.with_suffix("")
    if path.suffix != ".parquet":
        raise UsageError(f"-o {path}: predictions are a .parquet file")
    loaded = load(Path(model))
    taken = next((one for one in (path, *([folder] if loaded.segments else [])) if one.exists()), None)
    if taken is not None:
        raise UsageError(f"{taken}: is there, and is not overwritten: choose another -o")
    records, prepared = manifest_and_store(manifest, store)
    found = prediction.predict(
        loaded, records, prepared, split=split, by=by, threshold=threshold, jobs=jobs, masks=folder
    )
    parquet.write(path, found.table, private=True)
    predicted = found.n_records - len(found.left_out)
    lines = [*found.warnings, *quarantined(found.left_out, found.n_records, loaded.wing.plural)]
    lines.append(f"{path}: predictions of {predicted} of {found.n_records} {loaded.wing.plural}, one row a {by}")
    return Result("\n".join(lines), lambda: found.table, path, f"in Python, pandas.read_parquet({str(path)!r})")
