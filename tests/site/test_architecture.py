"""The diagram of the rooms is that of the imports."""

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

SOURCE = Path(__file__).parents[2] / "docs" / "_site" / "architecture.py"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagram_is_up_to_date(drawing: ModuleType) -> None:
    found = drawing.DIAGRAM.read_text(encoding="utf-8")
    assert found == drawing.draw(), "run: python docs/_site/architecture.py"


def test_every_room_is_drawn_above_what_it_uses(drawing: ModuleType) -> None:
    below = drawing.rooms()
    floor = drawing.floors(below)
    assert all(floor[room] > floor[other] for room, uses in below.items() for other in uses)
    drawn = ElementTree.fromstring(drawing.draw())
    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert set(below) <= set(texts)


def test_an_arrow_that_others_imply_is_left_out(drawing: ModuleType) -> None:
    below = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert drawing.direct(below) == {"a": {"b"}, "b": {"c"}, "c": set()}
