"""The recipes of docs/recipes.md are recipes."""

import re
from pathlib import Path

import pytest
import yaml

from medcl.pretrain.check import check
from medcl.pretrain.objectives import OBJECTIVES
from medcl.pretrain.reading import read

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_recipe_of_the_page_is_valid(block: str) -> None:
    check(read(yaml.safe_load(block)))


def test_every_kind_of_objective_is_named() -> None:
    assert all(f"`{kind}`" in PAGE for kind in OBJECTIVES)
