"""A wrong word gets the nearest right one."""

from medcl.suggest import did_you_mean, nearest, no_such


def test_the_nearest_word_is_found_whatever_its_case_and_dashes() -> None:
    known = ["record_id", "diagnosis", "age", "PatientSex"]
    assert nearest("diagosis", known) == "diagnosis"
    assert nearest("record-id", known) == "record_id"
    assert nearest("patientsex", known) == "PatientSex"
    assert nearest("sex", known) == "PatientSex", "a part of one word alone"
    assert nearest("zzz", known) is None


def test_an_error_ends_with_the_nearest_word_or_with_none() -> None:
    assert did_you_mean("agee", ["age"]) == "; did you mean 'age'?"
    assert did_you_mean("zzz", ["age"]) == ""
    assert no_such("column", "agee", ["age", "sex"]) == "no column 'agee'; there are 'age', 'sex'; did you mean 'age'?"
    assert no_such("column", "x", []) == "no column 'x'; there are none"
    assert no_such("column", "x", map(str, range(30))).endswith("'19' and 10 more")
