"""How numbers are put into words, on the terminal and on the pages alike."""

import math

NOTHING = "–"
METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "accuracy": "accuracy",
    "r2": "R²",
    "mae": "mean absolute error",
    "dice": "Dice",
    "hd95": "95% Hausdorff distance (mm)",
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
