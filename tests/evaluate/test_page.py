import io
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from medcl.errors import UsageError
from medcl.evaluate.page import render_page, write_page
from medcl.evaluate.page_parts import SegmentImages, ShownVolume, scale_bar
from medcl.evaluate.results import Fraction, Results
from medcl.evaluate.terminal import markdown, show
from medcl.evaluate.wording import arm_name, estimate, finding, gap, p_value, repeats_bounds
from medcl.wording import count
from tests.evaluate.made_results import make_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert('x')</script>"
VARIANTS = {
    "multilabel": {},
    "multiclass": {"kind": "multiclass"},
    "binary": {"kind": "binary", "classes": ("healthy", "ill")},
    "regression": {"kind": "regression", "classes": ()},
    "ordinal": {"kind": "ordinal", "classes": ("none", "mild", "severe")},
    "survival": {"kind": "survival", "classes": ()},
    "segmentation": {"kind": "segmentation", "classes": ("left", "right"), "protocols": ("finetune",)},
    "several methods": {"runs": ("comet", "tfc"), "baselines": ("Band power", "Mean beat"), "repeats": 3},
    "pooled folds": {"folds": 3, "repeats": 2},
    "arms with facts": {"runs": ("all units", "hash"), "facts": True, "fractions": (Fraction("100%", 361, 402),)},
    "one class": {"classes": ("AFIB",)},
    "one fraction": {"fractions": (Fraction("50", 50, 57),)},
    "one repeat": {"repeats": 1},
    "one protocol": {"protocols": ("knn",)},
}


class Page(HTMLParser):
    """What a browser sees: the text, the tags with their attributes, and the figures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, dict] = {}
        self.open = ""
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = "figures" if ("id", "figures") in attrs else tag

    def handle_data(self, data):
        if self.open == "figures":
            self.figures = json.loads(data)
        elif self.open not in ("script", "style"):
            self.words.append(" ".join(data.split()))

    def handle_endtag(self, tag):
        self.open = ""


def printed(results: Results) -> str:
    out = io.StringIO()
    show(results, Console(file=out, width=100))
    return out.getvalue()


def as_set(text: str) -> str:
    """A text of numbers as the page sets it; spaces of any kind are one here."""
    return re.sub(r"(?<!\d)-(?=\d)", "\N{MINUS SIGN}", text)


def without_numbers(results: Results) -> Results:
    """The same evaluation, whose main metric is not defined anywhere."""
    nan = math.nan
    blank = {"mean": nan, "low": nan, "high": nan, "repeats_low": nan, "repeats_high": nan}
    return replace(
        results,
        scores=tuple(replace(s, metrics=dict.fromkeys(s.metrics, nan)) for s in results.scores),
        summary=tuple(replace(s, **blank) if s.metric == results.metric else s for s in results.summary),
        differences=tuple(replace(d, **blank) if d.metric == results.metric else d for d in results.differences),
    )


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_page(make_results()))


def test_a_browser_loads_nothing(page: Page) -> None:
    loads = [
        (tag, value)
        for tag, attrs in page.tags
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "data", "poster", "action") and value != "data:,"
    ]
    assert loads == []
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    style = re.search(r"<style>(.*?)</style>", render_page(make_results()), re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_the_summary_is_shown(variant: str) -> None:
    results = make_results(**VARIANTS[variant])
    text = Page(render_page(results)).text
    for row in results.summary:
        assert as_set(estimate(row)) in text
    for row in results.differences:
        shown = gap(results, row.protocol, row.arm, row.other, row.label, row.metric)
        assert as_set(estimate(shown, signed=True)) in text
        assert as_set(p_value(row.p_holm)) in text
        # The interval over repeats stands beside the main one unless it is the only one.
        assert math.isnan(row.repeats_low) or as_set(repeats_bounds(row)) in text
    for held in (*results.splits.values(), *results.fractions):
        assert all(count(value) in text for value in (held.patients, held.records, *held.per_class.values()))
    for table in results.confusion:
        assert all(count(value) in text for row in table.matrix for value in row)
    assert all(f"{name} {version}" in text for name, version in results.software.items())
    assert "window: 2.5" in text
    assert all(note in text for note in results.notes)


def test_values_by_class_stand_with_their_intervals_in_the_columns_of_their_arms() -> None:
    results = make_results(
        repeats=3, protocols=("probe",), fractions=(Fraction("10%", 36, 41),), classes=("NORM", "MI")
    )
    html = render_page(results)
    table = next(
        one for one in re.findall(r"<table.*?</table>", html, re.DOTALL) if ">Class</th>" in one and "AUROC" in one
    )
    rows = re.findall(r"<tr>.*?</tr>", table.partition("<tbody>")[2], re.DOTALL)
    for name, row in zip(results.target.classes, rows, strict=True):
        text = Page(row).text
        values = [estimate(results.find("probe", arm.name, "10%", "auroc", name)) for arm in results.arms]
        assert text.startswith(name)
        assert 0 < text.index(values[0]) < text.index(values[1])


def test_only_the_main_metric_is_open() -> None:
    results = make_results()
    html = render_page(results)
    folded = re.findall(r'<details class="metric"><summary>(.*?)<small>', html)
    assert len(folded) == len(results.metrics) - 1
    assert "macro-AUPRC" in " ".join(folded)
    assert "<details open" not in html
    first = Page(html[html.index("<h2>Label efficiency") : html.index('<details class="metric">')]).text
    assert as_set(estimate(results.find("probe", "pretrained", "10%", "auroc"))) in first


def test_every_two_arms_are_compared_once() -> None:
    results = make_results(
        runs=("comet", "tfc"), baselines=("Band power",), protocols=("probe",), repeats=3, kind="survival", classes=()
    )
    html = render_page(results)
    main = html[: html.index('<details class="metric">')]
    heads = [Page(one).text for one in re.findall(r'<th class="word" scope="row">.*?</th>', main, re.DOTALL)]
    gaps = [one.partition(" ")[2] for one in heads if "minus" in one]
    assert gaps == [
        "minus tfc",
        "minus random weights",
        "minus Band power of the leads",
        "tfc minus random weights",
        "tfc minus Band power of the leads",
        "random weights minus Band power of the leads",
    ]


def test_slices_say_record_plane_side_and_scale() -> None:
    uri = "data:image/png;base64,AAAA"
    row = ShownVolume("Worst", (("truth", uri),), "case_7, coronal slice 3 of 9", ("R", "L"), *scale_bar(180.0))
    images = SegmentImages((row,), (("left", "rgb(1, 2, 3)"),))
    html = render_page(make_results(**VARIANTS["segmentation"]), images)
    text = Page(html).text
    assert all(word in text for word in ("case_7, coronal slice 3 of 9", "R", "L", "20 mm"))
    assert "width: 11.11%" in html


@pytest.mark.parametrize("width", [7.0, 52.0, 180.0, 512.0, 999.0])
def test_a_scale_bar_is_a_round_part_of_the_image(width: float) -> None:
    length, share = scale_bar(width)
    assert length / 10 ** math.floor(math.log10(length)) in (1, 2, 5)
    assert share == length / width
    assert 0.1 <= share <= 0.25


def test_figures_are_valid_for_plotly_and_hold_the_means(page: Page) -> None:
    import plotly.graph_objects as go

    results = make_results()
    assert set(page.figures) == {attrs["data-figure"] for _, attrs in page.tags if "data-figure" in attrs}
    for figure in page.figures.values():
        go.Figure(figure)
    for j, protocol in enumerate(results.protocols):
        traces = page.figures[f"curve-0-{j}"]["data"]
        for i, line in enumerate(trace for trace in traces if trace["mode"] == "lines+markers"):
            rows = [results.find(protocol, results.arms[i].name, f.label, "auroc") for f in results.fractions]
            assert line["y"] == [row.mean for row in rows]
            assert highs(line) == pytest.approx([row.high for row in rows])
            thick = traces[traces.index(line) - 1]
            assert highs(thick) == pytest.approx([row.repeats_high for row in rows])


def highs(trace: dict) -> list[float]:
    return [m + up for m, up in zip(trace["y"], trace["error_y"]["array"], strict=True)]


def test_of_one_fraction_each_arm_and_difference_is_a_row() -> None:
    results = make_results(**VARIANTS["arms with facts"])
    figure = Page(render_page(results)).figures["curve-0-0"]
    names = [arm_name("probe", arm) for arm in results.arms]
    assert figure["layout"]["yaxis"]["ticktext"] == names
    assert figure["layout"]["yaxis2"]["ticktext"] == [f"minus {name}" for name in names[1:]]


def test_fractions_with_the_same_patients_share_a_tick() -> None:
    fractions = (Fraction("1%", 6, 8, raised=True), Fraction("2%", 6, 8, raised=True), Fraction("100%", 361, 402))
    figure = Page(render_page(make_results(fractions=fractions))).figures["curve-0-0"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["6<br>1%, 2%", "361<br>100%"]


def test_text_from_data_is_never_markup() -> None:
    results = make_results(classes=(EVIL, "MI"), protocols=(EVIL,), method=EVIL, runs=(EVIL,))
    fractions = (*results.fractions[:-1], replace(results.fractions[-1], label="100%"))
    results = replace(results, notes=(EVIL,), fractions=fractions, config={"name": EVIL}, software={EVIL: "1"})
    html = render_page(results)
    assert EVIL not in html
    page = Page(html)
    assert page.text.count(EVIL) > 10
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    hovers = [
        text for figure in page.figures.values() for trace in figure["data"] for text in trace.get("hovertext", ())
    ]
    assert not any("<script" in text for text in hovers)


@pytest.mark.parametrize("variant", VARIANTS)
def test_results_without_a_defined_number_say_so(variant: str) -> None:
    results = without_numbers(make_results(**VARIANTS[variant]))
    text = Page(render_page(results)).text
    assert "there is no paired difference" in text
    assert not re.search(r"\bnan\b", text)
    assert not re.search(r"\bnan\b", printed(results))


def test_the_headline_does_not_claim_more_than_its_interval() -> None:
    results = make_results(protocols=("probe", "finetune"))
    paired = results.difference("finetune", "pretrained", "random", "10%", "auroc")

    def with_bounds(mean: float, low: float, high: float) -> str:
        changed = replace(paired, mean=mean, low=low, high=high)
        rows = tuple(changed if row is paired else row for row in results.differences)
        return finding(replace(results, differences=rows), "finetune")

    for ends in ((0.04, 0.02, 0.06), (-0.04, -0.06, -0.02)):
        assert with_bounds(*ends).startswith("With 10% of the labels (36 patients) macro-AUROC is ")
        assert "not shown" not in with_bounds(*ends)
    assert "includes zero: a difference is not shown" in with_bounds(0.04, -0.01, 0.09)
    assert "one repeat only" in with_bounds(0.04, math.nan, math.nan)


def test_raised_fractions_and_missing_classes_are_noted() -> None:
    results = make_results()
    first = replace(results.fractions[0], per_class={**results.fractions[0].per_class, "HYP": 0})
    text = Page(render_page(replace(results, fractions=(first, *results.fractions[1:])))).text
    assert "The label fraction 1% was raised to 6 patients" in text
    assert "No record of the label fraction 1% has HYP." in text


def test_a_fraction_with_fewer_repeats_says_so() -> None:
    results = make_results()
    few = tuple(replace(s, repeats=3) if (s.protocol, s.label) == ("finetune", "100%") else s for s in results.summary)
    results = replace(results, summary=few)
    note = "Full fine-tuning at 100% labels: 3 repeats instead of 20."
    assert note in Page(render_page(results)).text
    assert note in " ".join(printed(results).split())
    assert "repeats instead" not in printed(make_results())


def test_results_without_fractions_are_refused() -> None:
    with pytest.raises(UsageError, match="no label fraction"):
        render_page(replace(make_results(), fractions=()))


def test_the_terminal_table_is_plain_and_narrow() -> None:
    results = make_results()
    text = printed(results)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "raised: 1% made larger" in " ".join(text.split())
    assert all(estimate(row) in text for row in results.summary if row.metric == "auroc" and not row.class_name)
    for row in results.differences:
        if row.metric == "auroc":
            assert (estimate(row, signed=True) + "*" in text) == row.excludes_zero


@pytest.mark.parametrize("terminal", [True, False])
def test_a_narrow_terminal_keeps_every_interval_whole(terminal: bool) -> None:
    out = io.StringIO()
    results = make_results()
    show(results, Console(file=out, width=80, force_terminal=terminal, color_system=None))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(map(len, text.splitlines())) <= 80
    for row in (*results.summary, *results.differences):
        if row.metric == "auroc" and not getattr(row, "class_name", ""):
            assert estimate(row).partition(" ")[2] in text


def test_markdown_marks_what_excludes_zero() -> None:
    results = make_results()
    text = markdown(results)
    for row in results.differences:
        if row.metric == "auroc":
            assert (f"**{estimate(row, signed=True)}**" in text) == row.excludes_zero


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("folded", [True, False])
def test_a_browser_draws_what_is_open_without_an_error(tmp_path: Path, folded: bool) -> None:
    results = make_results()
    path = tmp_path / "report.html"
    write_page(results, path)
    if not folded:
        path.write_text(path.read_text().replace("<details", "<details open"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=4000"]
    command += ["--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    drawn = re.findall(r'data-figure="([^"]+)"[^>]*>\s*<div class="plot-container', done.stdout)
    every = len(results.metrics) * len(results.protocols) + len(results.target.classes)
    assert len(drawn) == (len(results.protocols) if folded else every)
