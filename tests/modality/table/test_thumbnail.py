"""The card of a table."""

import numpy as np

from medcl.modality.table.record import PatientTable, Variable
from medcl.modality.table.thumbnail import LINE, LINES, card


def has(image, colour):
    return (np.asarray(image) == colour).all(axis=2).any()


def is_written_on(image):
    return np.asarray(image.convert("L")).min() < 128


def test_a_card_has_a_line_a_variable_and_a_sparkline_in_time():
    names = tuple(Variable(f"v{i}", "mmol/L") for i in range(3))
    row = PatientTable(names, np.array([[1.0, np.nan, 3.0]]))
    stay = PatientTable(names, np.array([[1.0, np.nan, 3.0], [2.0, np.nan, 3.0]]), np.array([0.0, 5.0]))

    still, moving = card(row, 300), card(stay, 300)

    assert still.size == moving.size == (300, 3 * 18 + 12)
    assert is_written_on(still)
    assert not has(still, LINE)
    assert has(moving, LINE)


def test_a_table_of_hundreds_of_columns_shows_some():
    wide = PatientTable(tuple(Variable(f"gene {i}") for i in range(500)), np.zeros((1, 500)))

    assert card(wide, 200).height == (LINES + 1) * 18 + 12


def test_text_that_may_be_a_name_is_not_shown():
    values = np.zeros((1, 1))
    hidden = card(PatientTable((Variable("surname", "", ("Doe",)),), values), 300)
    other = card(PatientTable((Variable("surname", "", ("Miller",)),), values), 300)
    shown = card(PatientTable((Variable("sex", "", ("female",), levels=True),), values), 300)

    assert np.array_equal(hidden, other)
    assert is_written_on(shown)
