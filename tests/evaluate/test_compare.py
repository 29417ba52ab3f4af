import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from medcl.documents import plain
from medcl.errors import UsageError
from medcl.evaluate.compare import compare, evaluations, find
from medcl.evaluate.page import render_page
from medcl.evaluate.pool import combine_folds
from medcl.evaluate.results import Fraction, Results
from medcl.evaluate.terminal import arm_rows, gap_rows, markdown, show
from medcl.evaluate.wording import estimate
from medcl.stats.intervals import mean_interval
from medcl.wording import NOTHING, number
from tests.evaluate.made_results import make_results


def saved(folder: Path, **named: Results) -> list[Path]:
    paths = []
    for name, results in named.items():
        results.save(folder / name / "results.json")
        paths.append(folder / name / "results.json")
    return paths


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two methods on the same subsets and seeds: their random networks are the same."""
    return saved(tmp_path, comet=make_results(method="comet"), clocs=make_results(method="clocs", gain=0.02))


def printed(paths: list[Path], width: int = 100) -> str:
    out = io.StringIO()
    show(compare(paths), console=Console(file=out, width=width))
    return out.getvalue()


def names(results: Results) -> list[str]:
    return [arm.name for arm in results.arms]


def test_an_arm_a_method_and_one_for_the_shared_random_weights(paths: list[Path]) -> None:
    both = compare(paths)
    assert names(both) == ["comet", "clocs", "random"]
    assert [name for name, _ in arm_rows(both, "probe", "auroc")] == ["comet", "clocs", "random weights"]
    assert [name for name, _ in gap_rows(both, "probe", "auroc")] == ["minus clocs", "minus random weights"]
    for name, path in zip(names(both), paths, strict=False):
        for row in Results.load(path).summary:
            if row.arm == "pretrained" and not row.class_name:
                assert both.find(row.protocol, name, row.label, row.metric) == replace(row, arm=name)
    for row in both.differences:
        first, second = (both.find(row.protocol, arm, row.label, row.metric) for arm in (row.arm, row.other))
        assert row.mean == pytest.approx(first.mean - second.mean)


def test_the_terminal_shows_every_fraction_within_its_width(paths: list[Path]) -> None:
    for width in (60, 100, 160):
        text = printed(paths, width)
        assert max(map(len, text.splitlines())) <= width
        flat = " ".join(text.split())
        for row in compare(paths).summary:
            if row.metric == "auroc" and not row.class_name:
                assert number(row.mean) in flat


def test_baselines_that_differ_are_shown_each(tmp_path: Path) -> None:
    paths = saved(tmp_path, a=make_results(method="a"), b=make_results(method="b", seed=1))
    assert names(compare(paths)) == ["a", "b", "random", "random (b)"]
    assert "random weights (b)" in markdown(compare(paths))


def test_names_come_from_the_call_the_run_or_the_path(tmp_path: Path, paths: list[Path]) -> None:
    assert names(compare(paths, ["ours", "theirs"]))[:2] == ["ours", "theirs"]
    assert names(compare(paths))[:2] == ["comet", "clocs"]
    twins = saved(tmp_path / "twins", a=make_results(), b=make_results())
    assert names(compare(twins))[:2] == list(map(str, twins))
    with pytest.raises(UsageError, match="1 names for 2 results"):
        compare(paths, ["ours"])


def test_methods_with_different_fractions_are_compared_where_they_can_be(tmp_path: Path) -> None:
    few = make_results(method="few", fractions=(Fraction("10%", 36, 41),))
    paths = saved(tmp_path, all=make_results(), few=few)
    both = compare(paths)
    assert [fraction.label for fraction in both.fractions] == ["1%", "2%", "10%", "100%"]
    assert dict(arm_rows(both, "probe", "auroc"))["few"].count(NOTHING) == 3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"target": "classes"}, "only results of one target"),
        ({"metric": "auprc"}, "main metric"),
        ({"splits": "fingerprint"}, "other records"),
        ({"splits": "sizes"}, "other records"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(tmp_path: Path, change: dict, complaint: str) -> None:
    first, second = make_results(), make_results()
    if change == {"target": "classes"}:
        second = make_results(classes=("NORM", "MI"))
    elif change == {"splits": "fingerprint"}:
        second = make_results(fingerprint="others")
    elif change == {"splits": "sizes"}:
        first, second = make_results(fingerprint=""), make_results()
        second = replace(second, splits={**second.splits, "test": replace(second.splits["test"], patients=99)})
    else:
        second = replace(second, **change)
    paths = saved(tmp_path, first=first, second=second)
    with pytest.raises(UsageError, match=complaint) as caught:
        compare(paths)
    assert all(str(path) in str(caught.value) for path in paths)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([])


def test_the_page_is_whole_and_escapes_names(paths: list[Path]) -> None:
    html = render_page(compare(paths, ["<b>ours</b>", "theirs"]))
    assert "<b>ours</b>" not in html
    assert "&lt;b&gt;ours&lt;/b&gt;" in html
    assert "{" not in re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    row = Results.load(paths[0]).difference("probe", "pretrained", "random", "10%", "auprc")
    assert estimate(row, signed=True).replace(", ", ",\N{NO-BREAK SPACE}") in html


def folds(n: int = 5, **more) -> dict[str, Results]:
    return {f"fold{k}": make_results(seed=k, fingerprint=f"fold{k}", **more) for k in range(n)}


def test_pooled_means_are_over_all_scores_and_intervals_over_folds(tmp_path: Path) -> None:
    parts = folds()
    pooled = combine_folds(saved(tmp_path, **parts))
    row = pooled.find("probe", "pretrained", "10%", "auroc")
    values = [s.metrics["auroc"] for s in pooled.repeats("probe", "pretrained", "10%")]
    assert (len(values), row.repeats) == (100, 20)
    assert row.mean == pytest.approx(np.mean(values))
    interval = mean_interval(np.reshape(values, (5, 20)).mean(1), bounds=(0, 1))  # four degrees of freedom
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
    paired = pooled.difference("probe", "pretrained", "random", "10%", "auroc")
    other = pooled.find("probe", "random", "10%", "auroc")
    assert paired.mean == pytest.approx(row.mean - other.mean)


def test_pooled_scores_stay_paired(tmp_path: Path) -> None:
    pooled = combine_folds(saved(tmp_path, **folds()))
    ids = [[(s.fold, s.repeat) for s in pooled.repeats("probe", arm, "10%")] for arm in ("pretrained", "random")]
    assert ids[0] == ids[1] == [(fold, repeat) for fold in range(5) for repeat in range(20)]


def test_pooled_folds_add_up(tmp_path: Path) -> None:
    parts = folds(kind="multiclass")
    pooled = combine_folds(saved(tmp_path, **parts))
    assert pooled.splits["test"].patients == 5 * 46
    assert pooled.splits["train"].patients == 361
    assert np.sum(pooled.confusion[0].matrix) == sum(np.sum(part.confusion[0].matrix) for part in parts.values())
    counts = [sum(curve.count) for curve in (pooled.calibration[0], *(part.calibration[0] for part in parts.values()))]
    assert counts[0] == sum(counts[1:])
    first = pooled.calibration[0]
    centre = np.average(first.predicted, weights=first.count)
    every = [part.calibration[0] for part in parts.values()]
    assert centre == pytest.approx(
        np.average(np.concatenate([c.predicted for c in every]), weights=np.concatenate([c.count for c in every]))
    )
    assert "overlap in training patients" in pooled.notes[0]


def test_pooled_results_are_results_like_any_other(tmp_path: Path) -> None:
    pooled = combine_folds(saved(tmp_path, **folds()))
    other = combine_folds(saved(tmp_path / "other", **folds(method="clocs", gain=0.0)))
    paths = saved(tmp_path / "pooled", comet=pooled, clocs=other)
    assert plain(Results.load(paths[0])) == plain(pooled)
    assert names(compare(paths))[:2] == ["comet", "clocs"]
    assert "5 folds of 20 repeats" in markdown(compare(paths))


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"fingerprint": "fold0"}, "same records"),
        ({"method": "clocs", "fingerprint": "x"}, "method"),
        ({"repeats": 3, "fingerprint": "x"}, "repeats"),
        ({"classes": ("NORM",), "fingerprint": "x"}, "target"),
        ({"fractions": (Fraction("10%", 36, 41),), "fingerprint": "x"}, "fractions"),
    ],
)
def test_what_is_no_fold_of_the_same_evaluation_is_refused(tmp_path: Path, second: dict, complaint: str) -> None:
    paths = saved(tmp_path, first=make_results(fingerprint="fold0"), second=make_results(**second))
    with pytest.raises(UsageError, match=complaint):
        combine_folds(paths)


def test_one_fold_is_not_pooled(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        combine_folds(saved(tmp_path, only=make_results()))


def test_the_latest_evaluations_of_runs_are_found(tmp_path: Path) -> None:
    for name, date in (("a", "2026-01-01-1"), ("b", "2026-01-02-1")):
        folder = tmp_path / name / "eval" / "superclass" / date
        make_results(method=name).save(folder / "results.json")
        folder.with_name("latest").symlink_to(date)
    make_results(kind="regression", classes=()).save(tmp_path / "a" / "eval" / "age" / "results.json")
    runs = [tmp_path / "a", tmp_path / "b"]
    assert set(evaluations(runs[0])) == {"superclass", "age"}
    found, told = find(runs)
    assert [path.parent.name for path in found] == ["latest", "latest"]
    assert f"{runs[0]}: evaluated on age, superclass" in told
    with pytest.raises(UsageError, match="no target in common"):
        find(runs, "age")
    with pytest.raises(UsageError, match="holds no evaluation"):
        find([tmp_path])
