"""The page of methods and the shipped recipes are of each other."""

import re
from pathlib import Path

import yaml

from .shipped import PIPELINES, RECIPES

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| \[`(\w+)`\]\(\.\./pipelines/(\w+)\.yaml\) \| ([^|]+) \| ([^|]+) \|$", re.M)


def test_every_recipe_has_a_row_and_every_row_a_recipe() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert sorted(name for _, _, name, _, _, _ in rows) == list(RECIPES)
    assert all(name == link for _, _, name, link, _, _ in rows)


def test_a_row_states_the_publication_of_its_recipe() -> None:
    for _, publication, name, _, _, _ in ROW.findall(PAGE.read_text(encoding="utf-8")):
        recipe = yaml.safe_load((PIPELINES / f"{name}.yaml").read_text(encoding="utf-8"))
        assert recipe["source"] == publication, name
        assert recipe["method"]


def test_a_row_names_the_losses_of_its_recipe() -> None:
    for _, _, name, _, losses, _ in ROW.findall(PAGE.read_text(encoding="utf-8")):
        for objective in yaml.safe_load((PIPELINES / f"{name}.yaml").read_text(encoding="utf-8"))[
            "objectives"
        ].values():
            kind = objective.get("kind", "contrast")
            named = objective.get("loss", "") if kind == "contrast" else kind
            assert not named or f"`{named}`" in losses, name


def test_a_recipe_begins_with_a_comment() -> None:
    assert all((PIPELINES / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ") for name in RECIPES)
