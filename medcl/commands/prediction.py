"""Apply finished models: predict."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from medcl.commands.arguments import (
    Inputs,
    ManifestSource,
    PathSource,
    Result,
    named_or_scanned,
    one_or_many,
    quarantined,
    unknown,
)
from medcl.errors import MedclError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa


def load(source: PathSource, *, download: bool = False, revision: str | None = None, zero_missing: bool = False) -> Any:
    """Load a finished run or model.

    Args:
        source: run folder that `medcl pretrain` wrote; model folder, OUTPUT/models/NAME of `medcl finetune`; or
            `user/name` of a model hub, of which what was fetched before is taken.
        download: whether what was not fetched before may be fetched from the hub.
        revision: of the hub: a commit, tag or branch; default: the newest when the model was first fetched.
        zero_missing: whether it shall take recordings that lack some of its channels, as 0.

    Returns:
        Of a run an `Embedder`, which embeds: `load(run).embed(recording, sampling_rate=500, channels=leads)`. Of a
        model a `Model`, which predicts: `load(model).predict(recording, sampling_rate=500, channels=leads)`.

    Raises:
        UsageError: there is no such folder, and the hub may not be asked; or zero_missing is not of its records.
        MedclError: it is neither, is damaged, or was written by a newer medcl; or the hub has no such model.
    """
    from medcl.export.fetch import local
    from medcl.runs import ENVIRONMENT, is_run

    path = local(source, download=download, revision=revision)
    if is_run(path):
        from medcl.embed.embedder import Embedder

        return Embedder(path, zero_missing=zero_missing).fit([])
    from medcl.evaluate.models import MODEL, load
    from medcl.modality.spec import zero_missing as with_zeros

    if not (path / MODEL).is_file():
        raise MedclError(
            f"{path}: neither a run folder ({ENVIRONMENT} and recipe.yaml are missing) nor a model folder ({MODEL} is "
            "missing); `medcl pretrain` writes the one, `medcl finetune` the others into OUTPUT/models"
        )
    model = load(path)
    return replace(model, card=with_zeros(model.card)) if zero_missing else model


@one_or_many
def predict(
    model: PathSource,
    manifest: ManifestSource | None = None,
    output: Annotated[PathSource | None, "OUTPUT", "required"] = None,
    *,
    input: Inputs = (),
    split: str = "",
    by: Literal["record", "patient"] = "record",
    threshold: Literal["youden", "specificity"] = "youden",
    store: PathSource | None = None,
    zero_missing: bool = False,
    jobs: int = -1,
) -> "Result[pa.Table]":
    """Apply a model that `medcl finetune` has saved to the records of a manifest, or to files.

    Args:
        model: model folder, RUN/eval/TARGET/latest/models/NAME.
        manifest: manifest that `medcl scan` wrote.
        output: the Parquet file of predictions; label maps go into the folder of the same name without `.parquet`.
        split: split whose records are predicted; default: all.
        by: a row a `record`, or a `patient` with the mean prediction of its records.
        threshold: rule by which classes are decided for: highest sensitivity + specificity on the validation patients
            (`youden`), or a specificity of 0.90 on them (`specificity`).
        input: files or folders that are predicted in the place of a manifest; the predictions hold no file names, but
            the column `input`, the number of the file from 0.
        store: folder of prepared records; default: beside the manifest, of files a temporary one.
        zero_missing: predict recordings that lack some of the encoder's channels, which are 0 then; otherwise they are
            left out, unless the encoder was trained on such recordings.
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
    from medcl.modality.spec import zero_missing as with_zeros

    if output is None:
        raise UsageError("give output=, the Parquet file of predictions")
    path = Path(output)
    folder = path.with_suffix("")
    if path.suffix != ".parquet":
        raise UsageError(f"-o {path}: predictions are a .parquet file")
    loaded = load(Path(model))
    if zero_missing:
        loaded = replace(loaded, card=with_zeros(loaded.card))
    taken = next((one for one in (path, *([folder] if loaded.segments else [])) if one.exists()), None)
    if taken is not None:
        raise UsageError(f"{taken}: is there, and is not overwritten: choose another -o")
    with named_or_scanned(manifest, input, {loaded.wing.name: loaded.card}, store, jobs) as (records, prepared):
        found = prediction.predict(
            loaded, records, prepared, split=split, by=by, threshold=threshold, jobs=jobs, masks=folder
        )
    parquet.write(path, found.table, private=True)
    predicted = found.n_records - len(found.left_out)
    lines = [*unknown(records), *found.warnings, *quarantined(found.left_out, found.n_records, loaded.wing.plural)]
    lines.append(f"{path}: predictions of {predicted} of {found.n_records} {loaded.wing.plural}, one row a {by}")
    return Result("\n".join(lines), lambda: found.table, path, f"in Python, pandas.read_parquet({str(path)!r})")
