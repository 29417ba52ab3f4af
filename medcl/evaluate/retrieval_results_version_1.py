"""Results files that `medcl evaluate` of version 0.1 wrote, which had a schema of their own."""

from collections.abc import Iterator
from typing import Any

from medcl.modality import plural

LABEL = "0"
"""The one label fraction: no labels."""
RUN = "pretrained"
"""The name of the run's arm."""
_NOTES = (
    "Version 0.1 measured this: the number of tested patients is that of the modality that has most of them.",
    "Version 0.1 kept no predictions: differences from chance have no interval.",
)
_LISTS = ("uniformity", "records")
_GAP = {"distance": "centroid_distance", "variance": "variance_between", "separable": "separability"}


def is_old(content: dict[str, Any]) -> bool:
    """Whether these results are of that schema."""
    return "retrieval" in content


def upgraded(old: dict[str, Any]) -> dict[str, Any]:
    """Content of that schema as version 2 has it: the run and chance are the arms, each direction is a protocol.

    Raises:
        KeyError: an entry is missing.
    """
    seed = old["config"]["evaluation"].get("seed", 0)
    rows: dict[str, list[Any]] = {key: [] for key in ("scores", "summary", "differences", "queries")}
    for protocol, found, classes in _measured(old):
        measures = {one["metric"].replace(" ", "_"): one for one in found["measures"]}
        per_class = {one: {"auroc": value} for one, value in classes.items()}
        cell = {"protocol": protocol, "label": LABEL}
        for arm, key in ((RUN, "value"), ("chance", "chance")):
            metrics = {metric: one[key] for metric, one in measures.items()}
            own = per_class if arm == RUN else {}
            score = {**cell, "arm": arm, "repeat": 0, "seed": seed, "metrics": metrics, "per_class": own}
            rows["scores"].append(score)
        for metric, one in measures.items():
            row = {**cell, "metric": metric, "repeats": 1, "low": None, "high": None}
            interval = {"low": one["low"], "high": one["high"]}
            rows["summary"].append({**row, "arm": RUN, "mean": one["value"], **interval})
            rows["summary"].append({**row, "arm": "chance", "mean": one["chance"]})
            known = None not in (one["value"], one["chance"])
            gap = one["value"] - one["chance"] if known else None
            rows["differences"].append({**row, "arm": RUN, "other": "chance", "mean": gap})
        nothing = {**cell, "arm": RUN, "metric": "auroc", "repeats": 1, "low": None, "high": None}
        rows["summary"] += [{**nothing, "mean": value, "class_name": one} for one, value in classes.items()]
        rows["queries"].append({"protocol": protocol, **_counts(found, len(classes))})
    for one in old["gaps"]:
        metrics = {_GAP.get(key, key): value for key, value in one["gap"].items() if key not in _LISTS}
        metrics |= dict(zip(("uniformity_first", "uniformity_second"), one["gap"]["uniformity"], strict=True))
        cell = {"protocol": f"modality gap of {plural(one['first'])} and {plural(one['second'])}", "label": LABEL}
        rows["scores"].append({**cell, "arm": RUN, "repeat": 0, "seed": seed, "metrics": metrics})
        row = {**cell, "arm": RUN, "repeats": 1, "low": None, "high": None}
        rows["summary"] += [{**row, "metric": metric, "mean": value} for metric, value in metrics.items()]
    records = {plural(kind): count for kind, count in old["records"].items()}
    ranks = [metric for row in rows["scores"] for metric in row["metrics"] if metric.startswith("recall@")]
    split = [] if old["split"] == "test" else [f"Tested on the split {old['split']}."]
    return {
        **rows,
        "target": {"name": "retrieval", "kind": "retrieval"},
        "arms": [
            {"name": RUN, "kind": "run", "run": old["run"], "method": old["method"]},
            {"name": "chance", "kind": "baseline", "title": "chance"},
        ],
        "protocols": list(dict.fromkeys(row["protocol"] for row in rows["scores"])),
        "metric": max(ranks, key=lambda one: int(one.removeprefix("recall@")), default="auroc"),
        "config": old["config"],
        "splits": {
            "test": {
                "patients": max(old["patients"].values()),
                "records": sum(records.values()),
                "per_class": records,
            }
        },
        "notes": [*old["notes"], *_NOTES, *split],
        "fractions": [{"label": LABEL, "patients": 0, "records": 0}],
        "procedure": {"seed": seed, "repeats": 1, "bootstrap": old["config"]["evaluation"].get("bootstrap", 0)},
        "grounding": [{**one, "arm": RUN} for one in old["grounding"]],
        "software": old.get("software", {}),
        "created": old.get("created", ""),
        "version": 2,
    }


def _measured(old: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(protocol, what was found, class -> AUROC) of every direction and every zero-shot classification."""
    for one in old["retrieval"]:
        yield f"{one['query']} to {one['candidate']}: {one['hit']}", one["found"], {}
    for one in old["zero_shot"]:
        found = one["result"]
        yield f"zero-shot {found['target']} of {plural(one['kind'])}", found, found["per_class"]


def _counts(found: dict[str, Any], classes: int) -> dict[str, Any]:
    if "queries" not in found:
        return {"records": found["records"], "patients": found["patients"], "candidates": classes}
    return {
        "records": found["queries"],
        "patients": found["patients"],
        "candidates": found["candidates"],
        "without_hit": found["without_hit"],
    }
