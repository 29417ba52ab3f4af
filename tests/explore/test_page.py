"""The page, in a browser: one file that needs no network, and does what a hand on it expects."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medcl.errors import UsageError
from medcl.explore.page import MOST, Categories, MeasureTable, PageData, write_page
from medcl.show.images import encoded
from medcl.show.thumbnails import Thumbnail, placeholder
from tests import browser as browsers

N, K = 240, 4
EVIL = '</script><img src=x onerror="throw 1">'
IDS = [f"rec{row:03d}" for row in range(N - 1)] + [EVIL]
GROUP = np.arange(N) % 3
XY = np.stack([10 * np.cos(2.1 * GROUP), 10 * np.sin(2.1 * GROUP)], 1) + np.random.default_rng(0).normal(0, 1, (N, 2))
NEAR = (np.arange(N)[:, None] + 3 * np.arange(1, K + 1)) % N


def data() -> PageData:
    """Three groups; a patient has three points, one in each; every tenth age is missing."""
    age = np.where(np.arange(N) % 10 == 0, np.nan, 20 + np.arange(N) % 60)
    image = Thumbnail("image", encoded(Image.new("L", (64, 48), 90)))
    shown = {row: image for row in range(1, N)} | {
        0: placeholder("image", "cannot be read: no such file"),
        5: Thumbnail("report", text="No <b>pneumothorax</b>."),
        7: replace(image, large=encoded(Image.new("L", (640, 96), 90))),
    }
    return PageData(
        title="a run: 240 records",
        file="embeddings.parquet",
        ids=IDS,
        projections={"t-SNE": XY, "PCA": XY[:, ::-1]},
        columns={
            "finding": Categories(np.where(np.arange(N) < 12, -1, GROUP), ("normal", EVIL, "effusion")),
            "age": age,
            "split": Categories(np.arange(N) % 2, ("train", "test")),
        },
        levels={"patient": 10**15 + np.arange(N) // 3},
        neighbours=NEAR,
        thumbnails=shown,
        measures=(MeasureTable("Purity", ("level", "purity"), (("patient", "0.25"),), "higher is purer"),),
        notes=("1 of 240 records has no image.",),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "a page.html"
    write_page(data(), place)
    return place


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.chromium() as one:
        yield one


@pytest.fixture
def page(browser: Any, path: Path) -> Iterator[Any]:
    with browsers.opened(browser, path, color_scheme="light") as one:
        yield one


def at(page: Any, row: int) -> tuple[float, float]:
    """Where a point of the first map lies on the screen."""
    x, y = page.evaluate(
        """([x, y]) => { const { xaxis, yaxis } = document.getElementById("map")._fullLayout;
        return [xaxis._offset + xaxis.l2p(x), yaxis._offset + yaxis.l2p(y)]; }""",
        XY[row].astype(float).tolist(),
    )
    box = page.locator("#map").bounding_box()
    return box["x"] + x, box["y"] + y


def legend(page: Any) -> list[str]:
    return page.locator("#legend li span").all_inner_texts()


def alone() -> int:
    """The point that is farthest from any other, so that a hand on it means no other."""
    gaps = np.linalg.norm(XY[:, None] - XY[None], axis=2) + 1e9 * np.eye(N)
    gaps[[0, 5, N - 1]] = 0
    return int(gaps.min(axis=1).argmax())


def test_it_is_drawn_with_webgl_and_its_numbers_stand_beside_it(page: Any, path: Path) -> None:
    assert page.locator("#map canvas").count() > 0
    assert page.evaluate("document.getElementById('map').data.every((one) => one.type === 'scattergl')")
    assert page.evaluate("document.getElementById('map').data.reduce((sum, one) => sum + one.x.length, 0)") == N
    drawn = np.asarray(Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB")).astype(int)
    for colour in ((0, 114, 178), (213, 94, 0), (0, 158, 115)):
        # A little lighter, since points let each other shine through.
        assert (np.abs(drawn - (0.85 * np.array(colour) + 0.15 * 255)).max(axis=2) < 12).sum() > 200
    text = page.inner_text("#numbers")
    assert "higher is purer" in text
    assert "1 of 240 records has no image" in text
    assert all(name in text for name in ("embedding-atlas", "DuckDB", "pandas", "polars"))
    # Codes of patients are numbered anew.
    assert str(10**15) not in path.read_text()


def test_a_hand_over_a_point_shows_its_card_and_joins_its_patient(page: Any) -> None:
    row = alone()
    page.mouse.move(*at(page, row))
    page.wait_for_selector("#card:not([hidden])")
    card = page.locator("#card")
    assert IDS[row] in card.inner_text()
    assert "2 other points" in card.inner_text()
    assert card.locator("img").get_attribute("src").startswith("data:image/png")
    assert len(page.locator("#marks polyline").get_attribute("points").split()) == 3
    page.mouse.move(5, 5)
    page.wait_for_selector("#card", state="hidden")
    assert page.locator("#marks polyline").count() == 0


def test_a_click_lists_and_marks_the_nearest(page: Any) -> None:
    row = alone()
    page.mouse.move(*at(page, row))
    page.mouse.click(*at(page, row))
    page.wait_for_selector("ol.near")
    assert [one.get_attribute("title") for one in page.locator("ol.near button").all()] == [IDS[i] for i in NEAR[row]]
    marked = page.locator("#marks circle.near")
    assert [int(one.get_attribute("data-row")) for one in marked.all()] == NEAR[row].tolist()
    page.locator("ol.near button").first.click()
    assert page.locator("#record .name").inner_text() == IDS[NEAR[row][0]]
    page.get_by_role("button", name="only this patient (3)").click()
    assert page.inner_text("#shown") == "3"


def test_the_colour_menu_changes_the_legend(page: Any) -> None:
    assert legend(page) == ["normal", EVIL, "effusion", "missing"]
    page.select_option("#color", "age")
    page.wait_for_selector(".colourbar")
    assert legend(page) == ["missing"]
    assert page.locator(".ends").inner_text().split() == ["21", "50", "79"]
    page.select_option("#color", "split")
    page.wait_for_selector("#legend li:nth-child(2)")
    assert legend(page) == ["train", "test"]
    page.locator("#legend button").first.click()
    assert page.locator("#legend button").first.get_attribute("aria-pressed") == "false"
    assert page.inner_text("#shown") == str(N // 2)


def test_an_image_that_has_more_to_show_opens_it(page: Any) -> None:
    page.locator("#find").fill("rec006")
    page.locator("#find").press("Enter")
    assert page.locator("#record button.enlarge").count() == 0
    page.locator("#find").fill("rec007")
    page.locator("#find").press("Enter")
    page.locator("#record button.enlarge").click()
    assert page.locator("dialog[open] img").evaluate("(one) => one.naturalWidth") == 640
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_a_lasso_lists_its_points_and_saves_them(page: Any, ending: str) -> None:
    page.check("input[name=mode][value=lasso]", force=True)
    page.wait_for_function("document.getElementById('map').layout.dragmode === 'lasso'")
    inside = np.flatnonzero(GROUP == 1)
    corners = np.array([at(page, int(row)) for row in inside])
    low, high = corners.min(axis=0) - 12, corners.max(axis=0) + 12
    page.mouse.move(*low)
    page.mouse.down()
    for corner in ((high[0], low[1]), high, (low[0], high[1]), low):
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    page.wait_for_selector("#selected")
    assert page.inner_text("#selected") == f"{len(inside)} points of {len(inside)} patients"
    assert page.input_value("#selected-ids").split("\n") == [IDS[row] for row in inside]
    with page.expect_download() as waiting:
        page.click(f"#save-{ending}")
    assert waiting.value.suggested_filename == f"embeddings.selection.{ending}"
    lines = Path(waiting.value.path()).read_text().splitlines()
    if ending == "csv":
        assert lines.pop(0) == "record_id,finding,age,split"
        assert lines[0] == "rec001,,21,test"
        lines = [line.split(",")[0] for line in lines]
    assert lines == [IDS[row] for row in inside]


def test_filters_projections_and_the_scheme(page: Any) -> None:
    page.click("#filters > summary")
    page.locator("#filter-sheet summary", has_text="split").click()
    page.locator("#filter-sheet label", has_text="train").locator("input").uncheck()
    page.locator("#filter-sheet summary", has_text="age").click()
    page.get_by_label("age from").fill("70")
    page.get_by_label("age from").press("Tab")
    page.locator("#filter-sheet label", has_text="missing").locator("input").last.uncheck()
    ages = 20 + np.arange(N) % 60
    left = (np.arange(N) % 2 == 1) & (ages >= 70) & (np.arange(N) % 10 != 0)
    page.wait_for_function(f"document.getElementById('shown').textContent === '{left.sum()}'")
    page.click("#unfilter")
    page.keyboard.press("Escape")
    assert page.inner_text("#shown") == str(N)
    first = page.evaluate("Array.from(document.getElementById('map').data[0].x)")
    page.check("input[name=projection][value='1']", force=True)
    page.wait_for_function("(x) => document.getElementById('map').data[0].x[0] !== x", arg=first[0])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.click("#scheme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_all_of_it_can_be_done_from_the_keyboard(page: Any) -> None:
    page.locator("#map").focus()
    before = page.evaluate("document.getElementById('map').layout.xaxis.range")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    after = page.evaluate("document.getElementById('map').layout.xaxis.range")
    assert after[1] - after[0] < before[1] - before[0]
    page.locator("#find").fill("rec000")
    page.keyboard.press("Enter")
    # Its file has gone: the record is shown all the same.
    assert "No image: cannot be read: no such file" in page.inner_text("#record")
    page.locator("#find").fill(EVIL)
    page.keyboard.press("Enter")
    assert page.inner_text("#record .name") == EVIL
    page.locator("#find").fill("rec005")
    page.keyboard.press("Enter")
    assert page.inner_text("#record blockquote") == "No <b>pneumothorax</b>."
    page.locator("#select-shown").focus()
    page.keyboard.press("Enter")
    assert page.inner_text("#selected") == f"{N} points of {N // 3} patients"


def test_one_point_that_nothing_is_known_of_is_a_page(browser: Any, tmp_path: Path) -> None:
    one = PageData("one", "one.parquet", ["a"], {"PCA": np.zeros((1, 2))})
    write_page(one, tmp_path / "one.html")
    with browsers.opened(browser, tmp_path / "one.html", color_scheme="dark") as page:
        assert legend(page) == ["all points"]
        assert page.evaluate("document.getElementById('map').data[0].x.length") == 1


def test_a_page_holds_each_picture_once(path: Path) -> None:
    assert path.stat().st_size < 5.5e6, "plotly's script is 4.8 MB"
    assert Image.open(io.BytesIO(data().thumbnails[1].png)).size == (64, 48)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ids": []}, "no embedding to show"),
        ({"ids": ["a"] * (MOST + 1)}, "1,000,000 points at most"),
        ({"projections": {}}, "no projection"),
        ({"projections": {"PCA": np.zeros((3, 2))}}, r"projection 'PCA' is of shape \(3, 2\)"),
        ({"columns": {"age": np.zeros(3)}}, "column 'age'"),
        ({"levels": {"patient": np.zeros(3, np.int64)}}, "level 'patient'"),
        ({"neighbours": np.zeros((3, 2), np.int64)}, "neighbours"),
        ({"color": "hospital"}, "no column 'hospital' to colour by: there are finding, age, split"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        write_page(replace(data(), **changed), tmp_path / "p.html")
    assert not list(tmp_path.iterdir())


LABELS = ("none", "MI", "CD", "MI + CD", "MI + CD + HYP")


def larger(count: int, neighbours: int = 0) -> PageData:
    """Labels and their combinations, and slices; all points in a heap."""
    xy = np.random.default_rng(1).normal(0, 1, (count, 2))
    codes = np.arange(count) % 6 - 1
    columns: dict[str, Any] = {"label": Categories(codes, LABELS), "label: MI": Categories(codes > 0, ("no", "yes"))}
    columns["site"] = Categories(np.arange(count) % 30, tuple(f"site {number}" for number in range(30)))
    shown = Thumbnail("volume", encoded(Image.new("L", (64, 48), 90)), label="axial slice 3 (0 to 8)", ends=("R", "L"))
    near = (np.arange(count)[:, None] + np.arange(1, neighbours + 1)) % count if neighbours else None
    return PageData(
        title="a run",
        file="embeddings.parquet",
        ids=[f"rec{row}" for row in range(count)],
        projections={"PCA": xy / (1000 if neighbours else 1)},
        columns=columns,
        neighbours=near,
        thumbnails={3: replace(shown, width=320.0)},
    )


def test_combinations_are_folded_and_the_legend_is_whole_and_sorted(browser: Any, tmp_path: Path) -> None:
    write_page(larger(600), tmp_path / "page.html")
    with browsers.opened(browser, tmp_path / "page.html") as page:
        names = page.locator("#legend > ul > li > button > span")
        assert names.all_inner_texts() == ["none", "MI", "CD", "several labels", "missing"]
        page.locator("#legend summary").click()
        assert page.locator("#legend .held span").all_inner_texts() == ["MI + CD", "MI + CD + HYP"]
        page.select_option("#color", "site")
        page.wait_for_selector("#legend li:nth-child(20)")
        page.select_option("#legend-order", "name")
        assert names.all_inner_texts()[:3] == ["site 0", "site 1", "site 2"]
        assert page.locator("#legend .held li").count() + names.count() - 1 == 30, "each of them is named"
        cut = "document.querySelector('#legend ul').scrollHeight - document.querySelector('#legend ul').clientHeight"
        assert page.evaluate(cut) <= 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_points_without_a_label_can_be_seen(browser: Any, tmp_path: Path, scheme: Any) -> None:
    write_page(larger(60), tmp_path / "page.html")
    with browsers.opened(browser, tmp_path / "page.html", color_scheme=scheme) as page:
        colour = page.evaluate("document.getElementById('map').data.find((one) => one.name === 'missing').marker.color")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    one = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    other = [int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(",")]

    def luminance(rgb: list[int]) -> float:
        linear = [(part / 255 / 12.92) if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted((luminance(one), luminance(other)))
    assert (high + 0.05) / (low + 0.05) >= 3, "WCAG 2.1, 1.4.11"


def test_a_slice_says_plane_sides_and_scale(browser: Any, tmp_path: Path) -> None:
    write_page(larger(60), tmp_path / "page.html")
    with browsers.opened(browser, tmp_path / "page.html") as page:
        page.locator("#find").fill("rec3")
        page.locator("#find").press("Enter")
        assert page.locator("#record .framed b").all_inner_texts() == ["R", "L"]
        assert page.inner_text("#record .scale") == "100 mm"
        ends = [page.locator(f"#record {part}").bounding_box()["width"] for part in (".scale", ".framed img")]
        assert ends[0] / ends[1] == pytest.approx(100 / 320, abs=0.01)
        assert page.inner_text("#record .sliced") == "axial slice 3 (0 to 8)"


def test_the_numbers_of_neighbours_do_not_overlap(browser: Any, tmp_path: Path) -> None:
    write_page(larger(12, neighbours=10), tmp_path / "page.html")
    with browsers.opened(browser, tmp_path / "page.html") as page:
        for _ in range(6):
            page.locator("#further").click()
        page.locator("#find").fill("rec0")
        page.locator("#find").press("Enter")
        boxes = [one.bounding_box() for one in page.locator("#marks text").all()]
    assert len(boxes) == 10
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = abs(a["x"] - b["x"]) >= min(a["width"], b["width"]) - 4 or abs(a["y"] - b["y"]) >= 8
            assert apart, (a, b)


def test_shares_have_intervals(browser: Any, tmp_path: Path) -> None:
    write_page(larger(600), tmp_path / "page.html")
    with browsers.opened(browser, tmp_path / "page.html") as page:
        page.locator("#select-shown").click()
        cells = page.locator(".shares tbody tr").first.locator("td").all_inner_texts()
    # Wilson's interval of 100 of 600.
    assert cells == ["100", "17%", "14–20%", "17%"]


def test_many_points_are_a_density_until_one_looks_closer(browser: Any, tmp_path: Path) -> None:
    count = 70_000
    write_page(larger(count), tmp_path / "page.html")
    drawn = "document.getElementById('map').data.reduce((sum, one) => sum + one.x.length, 0)"
    with browsers.opened(browser, tmp_path / "page.html") as page:
        assert page.inner_text("#shown") == f"{count:,}"
        assert not page.evaluate("document.getElementById('density').hidden")
        assert page.evaluate(drawn) < 5_000
        ink = """() => { const one = document.getElementById('density');
        const { data } = one.getContext('2d').getImageData(0, 0, one.width, one.height);
        return data.filter((value, i) => i % 4 === 3 && value > 0).length; }"""
        assert page.evaluate(ink) > 5_000
        page.locator("#modes label").filter(has_text="box").click()
        box = page.locator("#map").bounding_box()
        page.mouse.move(box["x"] + 3, box["y"] + 3)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3, steps=4)
        page.mouse.up()
        page.wait_for_selector("#selected")
        assert page.inner_text("#selected") == f"{count:,} points", "the box holds those that are not drawn too"
        page.locator("#clear-selection").click()
        for _ in range(6):
            page.locator("#nearer").click()
        page.wait_for_selector("#density", state="hidden")
        assert 0 < page.evaluate(drawn) < 60_000
