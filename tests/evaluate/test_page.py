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
from medcl.evaluate.results import Fraction, Results
from medcl.evaluate.wording import estimate, finding, markdown, show
from medcl.wording import count, number
from tests.evaluate.made_results import make_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert('x')</script>"
VARIANTS = {
    "multilabel": {},
    "multiclass": {"kind": "multiclass"},
    "binary": {"kind": "binary", "classes": ("healthy", "ill")},
    "regression": {"kind": "regression", "classes": ()},
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
    blank = {"mean": nan, "low": nan, "high": nan, "patients_low": nan, "patients_high": nan}
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
        assert as_set(estimate(row, signed=True)) in text
        assert as_set(f"[{number(row.patients_low)}, {number(row.patients_high)}]") in text
    for held in (*results.splits.values(), *results.fractions):
        assert all(count(value) in text for value in (held.patients, held.records, *held.per_class.values()))
    for table in results.confusion:
        assert all(count(value) in text for row in table.matrix for value in row)
    assert all(f"{name} {version}" in text for name, version in results.software.items())
    assert "window: 2.5" in text
    assert all(note in text for note in results.notes)


def test_class_means_are_over_the_repeats_in_which_they_are_defined() -> None:
    results = make_results(
        repeats=2, protocols=("probe",), fractions=(Fraction("10%", 36, 41),), classes=("NORM", "MI")
    )
    values = {("pretrained", 0): 0.6123, ("pretrained", 1): math.nan, ("random", 0): math.nan, ("random", 1): math.nan}
    scores = [replace(s, per_class={"NORM": {"auroc": values[s.init, s.repeat]}}) for s in results.scores]
    rows = re.findall(r"<tr[^>]*>.*?</tr>", render_page(replace(results, scores=tuple(scores))), re.DOTALL)
    cells = [Page(row).text.split() for row in rows if "weights " in row]
    assert cells == [["NORM", "pretrained", "0.612"], ["random", "weights", "–"]]


def test_figures_are_valid_for_plotly_and_hold_the_means(page: Page) -> None:
    import plotly.graph_objects as go

    results = make_results()
    assert set(page.figures) == {attrs["data-figure"] for _, attrs in page.tags if "data-figure" in attrs}
    for figure in page.figures.values():
        go.Figure(figure)
    for j, protocol in enumerate(results.protocols):
        lines = [trace for trace in page.figures[f"curve-0-{j}"]["data"] if trace["mode"] == "lines+markers"]
        for init, line in zip(("pretrained", "random"), lines, strict=True):
            rows = [results.find(protocol, init, f.label, "auroc") for f in results.fractions]
            assert line["y"] == [row.mean for row in rows]
            highs = [m + up for m, up in zip(line["y"], line["error_y"]["array"], strict=True)]
            assert highs == pytest.approx([row.high for row in rows])


def test_fractions_with_the_same_patients_share_a_tick() -> None:
    fractions = (Fraction("1%", 6, 8, raised=True), Fraction("2%", 6, 8, raised=True), Fraction("100%", 361, 402))
    figure = Page(render_page(make_results(fractions=fractions))).figures["curve-0-0"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["6<br>1%, 2%", "361<br>100%"]


def test_text_from_data_is_never_markup() -> None:
    results = make_results(classes=(EVIL, "MI"), protocols=(EVIL,), method=EVIL)
    fractions = (*results.fractions[:-1], replace(results.fractions[-1], label="100%"))
    results = replace(
        results, notes=(EVIL,), run=EVIL, fractions=fractions, config={"name": EVIL}, software={EVIL: "1"}
    )
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
    paired = results.difference("finetune", "10%", "auroc")

    def with_bounds(mean: float, low: float, high: float) -> str:
        changed = replace(paired, mean=mean, low=low, high=high)
        rows = tuple(changed if row is paired else row for row in results.differences)
        return finding(replace(results, differences=rows), "finetune")

    assert re.search(
        r"With 10% of the labels \(36 patients\) pretraining raises macro-AUROC", with_bounds(0.04, 0.02, 0.06)
    )
    assert "pretraining lowers macro-AUROC" in with_bounds(-0.04, -0.06, -0.02)
    assert "includes zero, so this run shows no difference" in with_bounds(0.04, -0.01, 0.09)
    assert "one repeat only" in with_bounds(0.04, math.nan, math.nan)
    for text in (with_bounds(0.04, -0.01, 0.09), with_bounds(0.04, math.nan, math.nan)):
        assert "raises" not in text


def test_an_interval_over_test_patients_with_zero_is_stated_at_the_top() -> None:
    results = make_results()
    rows = tuple(replace(row, patients_low=-0.01, patients_high=0.09) for row in results.differences)
    text = Page(render_page(replace(results, differences=rows))).text
    assert "which includes zero: other test patients could show no difference" in text


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
    assert "6 (raised)" in text
    assert all(estimate(row) in text for row in results.summary if row.metric == "auroc")
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
        if row.metric == "auroc":
            assert estimate(row).partition(" ")[2] in text


def test_markdown_marks_what_excludes_zero() -> None:
    results = make_results()
    text = markdown(results)
    for row in results.differences:
        if row.metric == "auroc":
            assert (f"**{estimate(row, signed=True)}**" in text) == row.excludes_zero


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_draws_the_page_without_an_error(tmp_path: Path) -> None:
    results = make_results()
    write_page(results, tmp_path / "report.html")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command += [
        "--enable-logging=stderr",
        "--virtual-time-budget=4000",
        "--dump-dom",
        (tmp_path / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    drawn = re.findall(r'data-figure="([^"]+)"[^>]*>\s*<div class="plot-container', done.stdout)
    assert len(drawn) == len(results.protocols) + len(results.target.classes)
