"""Examples of docstrings, and of pages, give what they say."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in (ROOT / "medcl").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_examples_of_a_page(path: Path) -> None:
    found = doctest.testfile(str(path), module_relative=False)
    assert found.attempted
    assert not found.failed


def test_thirty_entry_points_have_an_example() -> None:
    documented = 0
    for name in MODULES:
        tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
        nodes = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.ClassDef)]
        documented += sum(">>> " in (ast.get_docstring(one) or "") for one in nodes)
    assert documented >= 30
