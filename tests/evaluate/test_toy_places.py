"""Whether a sentence finds its quadrant in images of shapes, where all is known."""

from pathlib import Path

import pytest

from tests import toy


@pytest.mark.acceptance
def test_parts_of_images_with_sentences_show_where_a_finding_is(tmp_path: Path) -> None:
    """At the first run, 80 steps: 0.44 of the quadrants with GOAL, none with CLIP; chance is 0.25."""
    written = toy.written(tmp_path)
    found, quadrants = {}, {}
    for name in ("clip_cells", "goal_cells"):
        folder = toy.trained(written, toy.ARMS[name], tmp_path / name, steps=80)
        found[name], quadrants[name] = toy.measured(written, folder), toy.quadrants(written, folder)
    assert quadrants["goal_cells"] > max(0.35, quadrants["clip_cells"] + 0.2)
    assert found["goal_cells"]["pixel_auroc"] > max(0.6, found["clip_cells"]["pixel_auroc"] + 0.2)
    assert found["goal_cells"]["image to report"] > found["clip_cells"]["image to report"] - 0.1
