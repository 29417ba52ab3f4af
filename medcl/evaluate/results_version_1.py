"""Results files of version 1, which knew two arms and called them initialisations."""

from typing import Any


def upgraded(old: dict[str, Any]) -> dict[str, Any]:
    """Content of version 1, which knew two arms and called them initialisations, as this version has it."""
    missing = [name for name in ("protocols", "run", "method", "target") if name not in old]
    if missing:
        raise ValueError(f"results lacks {', '.join(missing)}")

    def renamed(row: dict[str, Any]) -> dict[str, Any]:
        new = {("arm" if name == "init" else name): value for name, value in row.items()}
        if "patients_low" in new:
            over_patients = new.pop("patients_low"), new.pop("patients_high")
            new["repeats_low"], new["repeats_high"] = new["low"], new["high"]
            if None not in over_patients:
                new["low"], new["high"] = over_patients
        return new

    baseline = "pixels" if old["protocols"] == ["pixels"] else "random"
    segmentation = old.get("segmentation") or {"cells": [], "speed": []}
    lists = ("scores", "summary", "differences", "calibration", "confusion")
    new = {**old, **{name: [renamed(row) for row in old.get(name, [])] for name in lists}, "version": 2}
    for row in new["differences"]:
        row.update(arm="pretrained", other="random")
    new["arms"] = [
        {"name": "pretrained", "kind": "run", "run": old["run"], "method": old["method"]},
        {"name": "random", "kind": "random", "title": "16 x 16 pixels" if baseline == "pixels" else ""},
    ]
    new["learning"] = [
        {**{name: cell[name] for name in ("label", "repeat")}, "arm": cell["init"], "best": cell["curve"]["best"]}
        | {"iterations": cell["curve"]["iterations"], "values": cell["curve"]["dice"]}
        for cell in segmentation["cells"]
        if cell["curve"]["iterations"]
    ]
    new["speed"] = [{**row, "arm": "pretrained"} for row in segmentation["speed"]]
    if segmentation["cells"]:
        new["target"] = {**old["target"], "kind": "segmentation"}
        new["items"] = "volumes"
    return new
