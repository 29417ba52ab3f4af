"""A loss is a module, an entry of `LOSSES`, a row of the documentation and a test: none of them is forgotten."""

import pkgutil
import re
from pathlib import Path

import pytest

import medcl.contrast.losses
from medcl import contrast
from medcl.contrast import LOSSES, PAIRINGS, SIMILARITIES
from tests.contrast.test_contract import CASES

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "contrast.md").read_text()
MODULES = [found.name for found in pkgutil.iter_modules(medcl.contrast.losses.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_losses_is_in_the_dict_and_has_a_test(module: str) -> None:
    entries = [name for name, loss in LOSSES.items() if loss.__module__ == f"medcl.contrast.losses.{module}"]
    assert entries, f"medcl/contrast/losses/{module}.py has no entry of medcl.contrast.LOSSES"
    assert (HERE / "losses" / f"test_{module}.py").exists()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_a_case_for_what_holds_for_every_loss(name: str) -> None:
    assert any(case.loss_name == name for case in CASES), f"tests/contrast/cases*.py have no case of {name}"


@pytest.mark.parametrize("name", [*LOSSES, *PAIRINGS, *SIMILARITIES])
def test_a_name_is_exported_and_documented(name: str) -> None:
    value = {**LOSSES, **PAIRINGS, **SIMILARITIES}[name]
    assert getattr(contrast, name) is value
    assert re.search(rf"\b{name}\b", PAGE), f"docs/contrast.md does not name {name}"
    if callable(value):
        text = f"{value.__doc__}{value.__init__.__doc__ if isinstance(value, type) else ''}"
        assert "Args:" in text
        assert isinstance(value, type) or "Returns:" in text


def test_cases_are_of_losses() -> None:
    assert {case.loss_name for case in CASES} <= set(LOSSES)
