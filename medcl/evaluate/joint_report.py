"""The page of an evaluation of several modalities."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import yaml

from medcl.evaluate import joint_table
from medcl.evaluate.joint_results import JointResults
from medcl.evaluate.typed_json import plain
from medcl.show import page
from medcl.show.wording import count, number

Pictures = Sequence[tuple[str, str]]
"""(picture, overlay) as data URIs, in the order of `JointResults.grounding`."""


def write_report(results: JointResults, path: Path, pictures: Pictures = ()) -> None:
    """Write the page as one self-contained file."""
    page.write(path, render_report(results, pictures))


def render_report(results: JointResults, pictures: Pictures = ()) -> str:
    """The page as HTML."""
    return page.render(
        "evaluate/joint.html",
        figures={},
        results=results,
        headline=headline(results),
        retrieval=joint_table.retrieval_rows(results),
        zero_shot=joint_table.zero_shot_rows(results),
        gaps=joint_table.gap_rows(results),
        per_class=[
            (one.result.target, one.kind, [(name, number(value)) for name, value in one.result.per_class.items()])
            for one in results.zero_shot
        ],
        grounding=list(zip(results.grounding, pictures, strict=False)),
        texts=count_texts(results),
        without_hit=[one for one in results.retrieval if one.found.without_hit],
        count=count,
        number=number,
        created=_moment(results.created),
        config=yaml.safe_dump(plain(results.config), sort_keys=False, allow_unicode=True, width=100),
    )


def headline(results: JointResults) -> str:
    """The main finding in a sentence: how often the first direction finds its partner, against chance."""
    if not results.retrieval:
        return "Nothing could be retrieved."
    one = results.retrieval[0]
    recall = [m for m in one.found.measures if m.metric.startswith("recall@")][-1]
    k = recall.metric.removeprefix("recall@")
    different = "different " if one.candidate == "report" and results.texts else ""
    times = f", {recall.value / recall.chance:.1f} times chance" if recall.chance > 0 else ""
    return (
        f"Among {one.found.candidates:,} {different}records of kind {one.candidate}, the right one is among "
        f"the first {k} for {recall.value:.0%} of the queries of kind {one.query}{times} "
        f"({number(recall.chance, digits=3)})."
    )


def count_texts(results: JointResults) -> str:
    """Which reports took part, and how many texts they are, in a sentence; empty without reports."""
    reports = results.records.get("report", 0)
    if not reports or not results.texts:
        return ""
    which = {
        "record": "Only reports that describe one record, such as captions, take part. ",
        "study": "Only reports of a whole study or patient take part. ",
    }.get(results.reports, "")
    return (
        f"{which}Texts that are equal but for case and white space are one candidate and one query, and a hit for "
        f"every record that one of them describes: {reports:,} reports are {results.texts:,} different texts."
    )


def _moment(created: str) -> str:
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return created
