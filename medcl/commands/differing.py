"""Tell sets of records apart in words: differences."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from medcl.commands import next_step
from medcl.commands.arguments import KindName, ManifestSource, PathSource, Result, manifest_and_store, one_or_many

if TYPE_CHECKING:
    from medcl.evaluate.differences import Differences

_COLUMNS = ("phrase", "auroc", "low", "high", "difference", "p", "q")


@one_or_many
def differences(
    run: PathSource,
    manifest: ManifestSource,
    *,
    first: Annotated[str, "COLUMN=VALUE"],
    second: Annotated[str | None, "COLUMN=VALUE"] = None,
    phrases: Annotated[PathSource | None, "FILE"] = None,
    kind: KindName | None = None,
    split: str = "",
    least: Annotated[int, "PATIENTS"] = 3,
    most: int = 50,
    bootstrap: int = 1000,
    seed: int = 0,
    output: Annotated[PathSource | None, "CSV"] = None,
    jobs: int = -1,
    store: PathSource | None = None,
) -> "Result[Differences]":
    """List the phrases that tell one set of records from another, such as the patients of two scanners.

    Half of the patients of each set propose phrases, the other half ranks them: by the AUROC of the cosine of a
    patient's records with the phrase, with Welch's t-test, adjusted for the number of phrases (Benjamini-Hochberg).

    Args:
        run: run folder that `medcl pretrain` wrote, of records and reports.
        manifest: manifest of the records, and of the reports whose sentences are phrases.
        first: records of the first set, such as sex=F; of a label with several classes those that have the class.
        second: records of the second set; default: all others of which the column is known.
        phrases: vocabulary in a text file, a phrase a line; default: sentences of the reports.
        kind: modality of the records; default: the first other than reports.
        split: split whose records are compared; default: all.
        least: number of patients in whose reports a sentence has to occur to be a phrase.
        most: number of phrases that are ranked.
        bootstrap: number of bootstrap samples of the patients.
        seed: random seed of the halves and of the bootstrap.
        output: table of all ranked phrases.
        jobs: number of processes that prepare records.
        store: folder of prepared records; default: beside the manifest.

    Returns:
        The phrases, with what tells them apart.

    Raises:
        UsageError: a condition is invalid, or the run reads no texts.
        MedclError: a set has too few patients, or there is no phrase.
    """
    import csv
    import io

    from medcl import files, runs
    from medcl.evaluate.differences import condition
    from medcl.evaluate.differences import differences as compare
    from medcl.evaluate.multimodal_space import require_multimodal
    from medcl.modality import plural
    from medcl.wording import number

    records, prepared = manifest_and_store(manifest, store)
    told = compare(
        require_multimodal(runs.load(Path(run), kinds=())),
        records,
        condition(first, "--first"),
        None if second is None else condition(second, "--second"),
        prepared,
        phrases=[] if phrases is None else _lines(Path(phrases)),
        kind=kind,
        split=split,
        least=least,
        most=most,
        bootstrap=bootstrap,
        seed=seed,
        jobs=jobs,
    )
    rows = [
        (one.phrase, own.auroc, own.interval.low, own.interval.high, own.difference, own.p, own.q)
        for one in told.found
        for own in (one.separation,)
    ]
    lines = [
        f"{plural(told.kind)} of {told.patients[0]} patients with {first} against {told.patients[1]} with "
        f"{second or 'another value'}; AUROC above 0.5: nearer to the first",
        f"{'AUROC':>5}  {'95% CI':<13}  {'q':>7}  phrase",
        *(
            f"{number(auroc, digits=2):>5}  {number(low, digits=2):>5} to {number(high, digits=2):<5}  "
            f"{number(q, digits=4):>7}  {phrase}"
            for phrase, auroc, low, high, _, _, q in rows
        ),
        f"{told.proposed} phrases were proposed, {len(rows)} ranked by patients who did not propose them; q is the "
        "p-value adjusted for these",
    ]
    if told.both:
        lines.append(f"left out: {told.both} patients with records in both sets")
    path = None if output is None else Path(output)
    if path is not None:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
        files.write(path, table.getvalue(), private=True)
        lines.append(f"table: {path}")
    best = max(told.found, key=lambda one: abs(one.separation.auroc - 0.5)).phrase
    return Result("\n".join(lines), lambda: told, path, next_step.after_differences(Path(run), manifest, best))


def _lines(path: Path) -> list[str]:
    """The phrases of a vocabulary.

    Raises:
        UsageError: the file cannot be read, or holds none.
    """
    from medcl.errors import UsageError

    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--phrases {path}: cannot be read as text: {error}") from error
    if not found:
        raise UsageError(f"--phrases {path}: is empty: write a phrase a line")
    return found
