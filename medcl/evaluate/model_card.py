"""The card of a model, `README.md` of its folder: what it was made of, how well it does, what nobody knows of it."""

import math

from medcl.evaluate.models import ModelInfo
from medcl.evaluate.results import Results
from medcl.wording import METRICS, number

_NOT_TESTED = """\
Not tested: other hospitals, devices, protocols and readers than those of the archive; age groups, sexes and diseases
that the test patients include few or none of; records as they are made at another time. The intervals speak of other
patients of the same archive, not of these. Test the model on your own patients before you rely on it:
`medcl predict` writes predictions that can be compared with your labels."""


def card_of(info: ModelInfo, results: Results, validation: float = math.nan) -> str:
    """The card of a model as Markdown.

    Args:
        info: what the model is.
        results: of its experiment.
        validation: the selection metric on the validation patients; NaN where there is none.
    """
    target, arm = info.target, info.arm
    fraction = next(one for one in results.fractions if one.label == info.label)
    given = arm.title or (f"pretrained with {arm.method}" if arm.method else arm.name)
    trained = {"probe": "a linear model on its frozen embeddings", "finetune": "fine-tuned, encoder and head"}
    lines = [
        f"# {target.name}: {target.kind}",
        "",
        f"Predicts {target.name}{_classes(target.classes)}{f' in {target.unit}' if target.unit else ''}. "
        f"One prediction for each {info.bag}, from the {info.pooling} of its samples. Arm {arm.name} ({arm.kind}: "
        f"{given}), {trained[info.protocol]}. Repeat {info.repeat + 1}, seed {info.seed}.",
        "",
        "## Data",
        "",
        f"Labels of {info.label} of the training patients: {fraction.patients:g} patients, {fraction.records:g} "
        f"{results.items} (medians over repeats). Splits by patient:",
        "",
        "| split | patients | labelled " + results.items + " |",
        "| --- | --- | --- |",
        *(f"| {name} | {one.patients:g} | {one.records:g} |" for name, one in results.splits.items()),
        "",
        "`patients.txt` holds salted hashes of the patients of pretraining, labels and validation. "
        "`medcl predict` says how many of the patients that it is given are among them.",
        "",
        "## Test patients",
        "",
        f"Mean over {results.procedure.repeats} repeats of this arm, protocol and fraction, with its 95% interval over "
        "test patients crossed with repeats; and this model alone.",
        "",
        "| metric | mean | 95% CI | this model |",
        "| --- | --- | --- | --- |",
        *_metrics(info, results),
        "",
        *_decisions(info, results, validation),
        "## Use",
        "",
        "Intended for research: to measure, compare and pre-sort. Not a medical device, and not for decisions on a "
        "patient without a person who answers for them.",
        "",
        _NOT_TESTED,
        *(["", "Of the experiment:", "", *(f"- {note}" for note in results.notes)] if results.notes else []),
        "",
        "```",
        "medcl predict FOLDER --manifest archive.parquet -o predictions.parquet",
        "```",
        "",
        "In Python: `medcl.load(FOLDER).predict(record)`.",
        "",
        f"Made with medcl {results.software.get('medcl', '')} on {results.created}; see `environment.json`.",
    ]
    return "\n".join(lines) + "\n"


def _classes(classes: tuple[str, ...]) -> str:
    return f" ({', '.join(classes)})" if classes else ""


def _metrics(info: ModelInfo, results: Results) -> list[str]:
    scores = results.repeats(info.protocol, info.arm.name, info.label)
    own = next((one.metrics for one in scores if (one.repeat, one.fold) == (info.repeat, info.fold)), {})
    found = []
    for metric in results.metrics:
        row = results.find(info.protocol, info.arm.name, info.label, metric)
        if row is not None:
            mean, low, high, alone = (number(v) for v in (row.mean, row.low, row.high, own.get(metric, math.nan)))
            found.append(f"| {METRICS.get(metric, metric)} | {mean} | {low} to {high} | {alone} |")
    return found


def _decisions(info: ModelInfo, results: Results, validation: float) -> list[str]:
    if not math.isfinite(validation):
        return []
    metric = METRICS.get(results.metric, results.metric)
    lines = ["## Validation patients", "", f"{metric} {number(validation)}, by which models were chosen."]
    if info.calibrator.temperature != 1:
        lines.append(
            f"Logits are divided by the temperature {info.calibrator.temperature:.4g}, fitted on these patients; the "
            "calibration error above is that of the test patients after it."
        )
    rules = {"youden": "highest sensitivity + specificity", "specificity": "specificity of at least 0.90"}
    for rule, values in info.calibrator.thresholds.items():
        told = (number(value) if math.isfinite(value) else "no probability is high enough" for value in values)
        # Of two classes the second has one.
        each = ", ".join(
            f"{name}: {value}" for name, value in zip(info.target.classes[-len(values) :], told, strict=True)
        )
        lines.append(f"Threshold of {rules[rule]}: {each}.")
    if info.calibrator.thresholds:
        lines.append("A class without both positives and negatives among them has the threshold 0.5.")
    return [*lines, ""]
