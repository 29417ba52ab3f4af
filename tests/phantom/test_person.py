from datetime import date

import numpy as np

from medcl.phantom.person import Study, draw_person, draw_studies


def test_a_person_has_the_age_that_was_asked_for_and_grows_older():
    for number in range(300):
        rng = np.random.default_rng([number, 1])
        person = draw_person("F", 18 + number % 78, rng)
        assert Study(person, date(2020, 1, 1), "120000", "A1", "k").age == 18 + number % 78
        assert Study(person, date(2020, 12, 31), "120000", "A1", "k").age - 18 - number % 78 in (0, 1)


def test_visits_are_in_order_and_each_has_its_own_key():
    person = draw_person("M", 50, np.random.default_rng(0))
    studies = draw_studies(person, 5, "0/ct/P0001", np.random.default_rng(1))
    assert len({study.key for study in studies}) == 5
    assert [study.day for study in studies] == sorted({study.day for study in studies})
    assert all(study.day.year == 2020 and 7 <= int(study.time[:2]) < 19 for study in studies)
