"""How numbers and counts are put into words: in the summaries that commands print, on the terminal and on pages."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def line(name: str, text: str) -> str:
    """A line of a summary."""
    return f"{name:<15}{text}"


def counted(counts: Mapping[str, int], shown: int = 4, alone: bool = False) -> str:
    """The first `shown` of {thing: number of times}, such as `nifti: 260, dicom: 12`.

    A thing that stands alone goes without its count, unless `alone` is set.
    """
    bare = len(counts) == 1 and not alone
    parts = [f"{name}" if bare else f"{name}: {count}" for name, count in list(counts.items())[:shown]]
    more = len(counts) - shown
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") if parts else "none"


def unusual(flags: Mapping[str, int], records: str) -> list[str]:
    """The lines that list what is unusual about records, such as `recordings`: {flag: number of records}."""
    if not flags:
        return []
    lines = [line("unusual", f"{sum(flags.values())} flags of usable {records}")]
    return lines + [f"  {count:>6}  {flag}" for flag, count in flags.items()]


def occurrences(values: "pa.ChunkedArray") -> Counter[Any]:
    """How often each value occurs, without an object a row."""
    import pyarrow.compute as pc

    return Counter({one["values"].as_py(): one["counts"].as_py() for one in pc.value_counts(values)})


def usable_rows(records: "pa.Table") -> "pa.Table":
    """The rows whose status is `ok`; where all are, the table itself and no copy of it."""
    import pyarrow.compute as pc

    usable = pc.equal(records["status"], "ok")
    return records if pc.all(usable).as_py() else records.filter(usable)


NOTHING = "–"
METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "sensitivity_at_90_specificity": "sensitivity at 90% specificity",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "kappa": "quadratic weighted kappa",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "spearman": "Spearman correlation",
    "harrell_c": "Harrell's C",
    "uno_c": "Uno's C",
    "ibs": "integrated Brier score",
    "dice": "Dice",
    "hd95": "95% Hausdorff distance (mm)",
    "recall": "recall",
    "precision": "precision",
    "mAP": "mAP",
    "ndcg": "nDCG",
    "median_rank": "median rank",
    "centroid_distance": "distance between centroids",
    "variance_between": "share of variance between centroids",
    "alignment": "alignment of pairs",
    "alignment_all": "alignment of all pairs",
    "uniformity": "uniformity",
    "uniformity_first": "uniformity of the first modality",
    "uniformity_second": "uniformity of the second modality",
    "separability": "separability",
    "pointing": "pointing game",
    "cnr": "contrast-to-noise ratio",
    "pixel_auroc": "AUROC of pixels",
    "miou": "mean IoU at 0.1 to 0.5",
    "iou_both": "IoU of box and rest",
    "perplexity": "perplexity",
    "perplexity_elsewhere": "perplexity, record of another patient",
}


def number(value: float, *, digits: int | None = None, signed: bool = False) -> str:
    """The value with four significant digits at most (`digits` sets the decimals); a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    text = f"{value:{'+' if signed else ''}.{decimals(value) if digits is None else digits}f}"
    # No sign for a zero, however it was rounded: -0.0004 is "0.000".
    return text.lstrip("+-") if float(text) == 0 else text


def count(value: float) -> str:
    """A number of patients or records; one decimal where a mean is not whole."""
    if math.isnan(value):
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def bounds(low: float, high: float, *, digits: int | None = None) -> str:
    """An interval as `[low, high]`; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    places = decimals(max(abs(low), abs(high))) if digits is None else digits
    return f"[{number(low, digits=places)}, {number(high, digits=places)}]"


def decimals(value: float) -> int:
    """Decimals that give a number four significant digits at most."""
    size = abs(value)
    return 3 if size < 10 else 2 if size < 100 else 1
