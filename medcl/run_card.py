"""The model card of a run, `README.md` of its folder: what it was trained on and how, what it was measured on.

It is made anew of the files of the folder whenever one of them changes: when training ends, when an evaluation does,
when `medcl explore` has looked for confounders. What the user writes between the two marks stays; a README.md without
them is the user's, and is left alone. It holds counts, and no name or code of a patient.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medcl import files, runs
from medcl.documents import read_json
from medcl.errors import MedclError
from medcl.modality import wing
from medcl.modality.base import frozen
from medcl.wording import METRICS, number

CARD, DATA, CONFOUNDERS = "README.md", "data.json", "confounders.json"
BEGIN, END = "<!-- yours: begin; medcl keeps what stands from here -->", "<!-- yours: end; to here -->"
_YOURS = """\
**To be filled in by you**: what stands between the two comments stays when this file is written again.

- Intended use: *to be filled in*
- Not to be used for: *to be filled in*
- Population, sites and devices that the archive covers, and that it does not: *to be filled in*
- Known limits and failures: *to be filled in*
- Contact: *to be filled in*"""
_ASKED = ("site", "device", "sex", "age")
_LOOKS = 8  # rows of the monitor's table
_COPY = "delete it, and the next evaluation or training leaves it out of the card"


def note_data(folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep what the records that a run is trained on were: counts and words, JSON values."""
    files.write(folder / DATA, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def note_confounders(folder: Path, found: Sequence[Mapping[str, Any]]) -> None:
    """Keep how well columns can be predicted from the embeddings of a run, and write its card again."""
    known = [{key: None if value != value else value for key, value in one.items()} for one in found]
    files.write(folder / CONFOUNDERS, json.dumps({"columns": known}, indent=2, ensure_ascii=False) + "\n")
    write(folder)


def write(folder: Path) -> None:
    """Write the card of a run.

    Args:
        folder: of the run; of one from before there were cards the card says what is not known.

    Raises:
        MedclError: it cannot be written, or a file of the run is damaged.
    """
    path = folder / CARD
    kept = _YOURS
    if path.is_file():
        before = path.read_text(encoding="utf-8", errors="replace")
        if BEGIN not in before or END not in before:
            return
        kept = before.partition(BEGIN)[2].rpartition(END)[0].strip("\n")
    parts = (
        [f"# {_plain(folder.resolve().name)}", "", "An encoder that was pretrained without labels, with medcl."],
        ["## Intended use and limits", "", BEGIN, kept, END],
        ["## Data", "", *_data(folder)],
        ["## Recipe", "", *_recipe(folder)],
        ["## Training", "", *_training(folder)],
        ["## Label efficiency", "", *_evaluations(folder)],
        ["## Confounders", "", *_confounders(folder)],
        ["## Use", "", *_use()],
    )
    files.write(path, "\n\n".join("\n".join(part) for part in parts) + "\n")


def _data(folder: Path) -> Iterator[str]:
    found = _json(folder / DATA)
    seen = len(runs.SeenPatients.read(folder / runs.PATIENTS).hashes)
    size = f", {found['size']}" if found else ""
    yield f"{seen:,} patients{size}. `{runs.PATIENTS}` holds their salted hashes."
    if not found:
        yield "\nWhat else is known of the records was not kept by the version of medcl that trained this run."
        return
    yield from ([f"\nNot trained on: {found['left_out']}"] if found["left_out"] else [])
    for kind, words in found["records"].items():
        yield from (f"\nRecords of these patients, {kind}:", "", "```", words, "```")
    card = found["dataset"]
    if card is None:
        yield "\nData-set card: none was used. Licence and terms of the data: see above, to be filled in by you."
        return
    told = " ".join(filter(None, (card["name"], card["version"])))
    yield f"\nData set: {_plain(told)}, {card['source']}. Licence: **{_plain(card['licence'])}**."
    yield f"\nTo be cited: {_plain(card['citation'])}"


def _recipe(folder: Path) -> Iterator[str]:
    recipe = runs.read_config(folder)
    yield f"`{runs.CONFIG}` is complete: `medcl pretrain --config {runs.CONFIG}` trains it again."
    inputs, objectives = (recipe.get(name) for name in ("inputs", "objectives"))
    if isinstance(inputs, Mapping):
        yield from ("", *_row("input", "modality", "encoder"), *_rule(3))
        for name, one in inputs.items():
            encoder = one.get("encoder") or {}
            dim = encoder.get("dim") or encoder.get("projection")
            yield from _row(name, one.get("modality", ""), f"{encoder.get('name', '')}{f', {dim} wide' if dim else ''}")
        for name, one in inputs.items():
            own = wing(one.get("modality") or name)
            if note := own.note(own.config(**frozen(one.get("data") or {}))):
                yield f"\n{note}"
    if isinstance(objectives, Mapping):
        yield from ("", *_row("objective", "kind", "of", "positives", "loss", "weight"), *_rule(6))
        for name, one in objectives.items():
            of = one.get("of") or one.get("between") or ""
            of = " and ".join(of) if isinstance(of, list) else of
            yield from _row(name, *(one.get(key) or "" for key in ("kind",)), of, *_told(one))
    told = [f"{name} {recipe[name]}" for name in ("steps", "seed") if isinstance(recipe.get(name), int)]
    yield from (["", ", ".join(told).capitalize() + "."] if told else [])


def _told(objective: Mapping[str, Any]) -> list[Any]:
    return [objective.get(name) or "" for name in ("positives", "loss")] + [objective.get("weight", 1.0)]


def _training(folder: Path) -> Iterator[str]:
    last = _rows(folder / runs.METRICS)[-1:]
    if last:
        yield f"After {last[0].get('step', '?')} steps the loss of the last batch was {_short(last[0].get('total'))}."
    looks = _rows(folder / runs.MONITOR)
    if not looks:
        yield "\nNothing was looked at on validation patients (`monitor.every`, or no such patients)."
        return
    chosen = sorted({round(i * (len(looks) - 1) / (_LOOKS - 1)) for i in range(_LOOKS)})
    names = [name for name in looks[0] if any(row.get(name) for row in looks)]
    yield f"On validation patients, {len(chosen)} of {len(looks)} looks ({runs.MONITOR} has all):"
    yield from ("", *_row(*names), *_rule(len(names)))
    for place in chosen:
        yield from _row(*(_short(looks[place].get(name)) for name in names))
    yield "\nrank: effective rank of the embedding (RankMe); dead: share of dimensions that do not vary."


def _evaluations(folder: Path) -> Iterator[str]:
    found = sorted((folder / "eval").glob("*/latest/results.json"))
    if not found:
        yield "Not measured yet: `medcl finetune RUN --manifest M --target COLUMN` does, and fills this in."
    for path in found:
        try:
            yield from list(_evaluation(path))
        except MedclError as error:
            # One damaged file must not cost the evaluation that has just ended.
            yield f"{path.relative_to(folder)}: {str(error).partition(': ')[2]}"


def _evaluation(path: Path) -> Iterator[str]:
    results = _json(path)
    try:
        metric, labels = results["metric"], [one["label"] for one in results["fractions"]]
        test, repeats = results["splits"]["test"], results["procedure"]["repeats"]
        cells = {
            (one["protocol"], one["arm"], one["label"]): one
            for one in results["summary"]
            if one["metric"] == metric and not one.get("class_name")
        }
        yield f"### {_plain(results['target']['name'])}"
        over = f"mean over {repeats} repeat{'s' * (repeats != 1)} and 95% interval over patients"
        when = results.get("created") or "date unknown"
        yield f"\n{METRICS.get(metric, metric)} on {test['patients']:g} test patients, {over} ({when}):"
        yield from ("", *_row("protocol", "arm", *labels), *_rule(2 + len(labels)))
        for protocol, arm in dict.fromkeys(key[:2] for key in cells):
            row = [cells.get((protocol, arm, label)) for label in labels]
            yield from _row(protocol, arm, *("" if one is None else _estimate(one) for one in row))
        yield ""
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise files.damaged(path, _COPY) from error


def _estimate(one: Mapping[str, Any]) -> str:
    mean, low, high = (_number(one[name]) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def _confounders(folder: Path) -> Iterator[str]:
    found = (_json(folder / CONFOUNDERS) or {"columns": []})["columns"]
    named = [one for one in found if not one["reason"]]
    missing = [name for name in _ASKED if not any(name in str(one["name"]).lower() for one in named)]
    if named:
        yield "How well a linear probe predicts a column of patients that it did not see from the embeddings:"
        yield from ("", *_row("column", "measure", "score (95% CI)", "by chance", "p", "found", "patients"), *_rule(7))
        for one in named:
            score = f"{_number(one['score'])} ({_number(one['low'])} to {_number(one['high'])})"
            told = _number(one["chance"]), f"{one['p']:.3f}", "yes" if one["found"] else "no", one["patients"]
            yield from _row(one["name"], one["measure"], score, *told)
        yield "\nWhat is found may confound a diagnosis: an encoder that tells sites apart can learn the site instead."
    if missing:
        what = (
            "Not measured" if not named else "\nNot measured, for the archive has no such column with enough patients"
        )
        yield f"{what}: {', '.join(missing)}."
    if not found:
        yield "\n`medcl embed RUN -o RUN/embeddings.parquet` and `medcl explore` of that file measure them."


def _use() -> list[str]:
    return [
        "```python",
        "encoder = medcl.load(RUN)      # RUN is this folder",
        "encoder.embed(record)          # an array, or what mne, nibabel, pydicom or Pillow have read",
        "```",
        "",
        "For research: to measure, compare and pre-sort. Not a medical device. An encoder carries what its archive has",
        "too much and too little of: measure it on patients of your own before you rely on it.",
    ]


def _json(path: Path) -> Any:
    return read_json(path, _COPY) if path.is_file() else None


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    except (OSError, UnicodeError, csv.Error) as error:
        raise MedclError(f"{path}: cannot be read: {_COPY}") from error


def _row(*cells: Any) -> list[str]:
    return [f"| {' | '.join(_plain(str(cell)) for cell in cells)} |"]


def _rule(count: int) -> list[str]:
    return [f"|{' --- |' * count}"]


def _plain(text: str) -> str:
    """Text on one line, without what would end a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _number(value: float | None) -> str:
    return number(float("nan") if value is None else value)


def _short(value: str | None) -> str:
    try:
        return f"{float(value or ''):.4g}"
    except ValueError:
        return value or ""
