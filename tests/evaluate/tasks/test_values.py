"""Units of regressions, as far as the names of their columns state them."""

import pytest

from medcl.evaluate.tasks.values import unit_of


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("age_years", "years"),
        ("EF [%]", "%"),
        ("survival (days)", "days"),
        ("NTproBNP[ng/l]", "ng/l"),
        ("age", ""),
        ("years", ""),
        ("classes", ""),
        ("score (higher is better)", ""),
    ],
)
def test_unit_of_a_column(column: str, unit: str) -> None:
    assert unit_of(column) == unit
