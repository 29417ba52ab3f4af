"""What `medcl prepare` tells of records that it could not use stays readable."""

from medcl.commands.arguments import quarantined


def test_nothing_is_told_of_nothing() -> None:
    assert quarantined({}, 5, "volumes") == []


def test_ten_thousand_records_are_a_few_lines_by_reason() -> None:
    reasons = {f"r{i}": f"truncated file: it ends {i} bytes before its last voxel" for i in range(9000)}
    reasons |= {f"s{i}": "empty file" for i in range(1000)}
    lines = quarantined(reasons, 20000, "volumes")
    assert lines[0] == "quarantined: 10000 of 20000 volumes"
    assert len(lines) == 5
    assert "9000  truncated file: it ends 0 bytes before its last voxel (and alike)" in lines[1]
    assert "r0, r1, r2 and 8997 more" in lines[2]
    assert lines[3].endswith("1000  empty file")


def test_many_different_reasons_are_cut_short_and_all_records_are_counted() -> None:
    lines = quarantined({chr(97 + i): f"wrong in way {chr(97 + i)}" for i in range(20)}, 20, "recordings")
    assert len(lines) == 1 + 2 * 12 + 1
    assert lines[-1].split() == ["8", "for", "8", "other", "reasons"]
