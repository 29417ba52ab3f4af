"""Codes of ids: the same here, unknown elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from medcl.archive.identity import code, fingerprint, record_code, site_salt
from medcl.errors import UsageError

SALT = b"0123456789abcdef"


def test_a_code_depends_on_the_level_the_id_and_the_salt_alone() -> None:
    assert code("patient", "P1", SALT) == code("patient", "P1", SALT)
    others = [code("patient", "P2", SALT), code("trial", "P1", SALT), code("patient", "P1", b"another salt")]
    assert len({code("patient", "P1", SALT), *others}) == 4


def test_codes_fit_an_int64_that_is_never_negative() -> None:
    codes = [code("patient", str(number), SALT) for number in range(5000)]
    assert len(set(codes)) == 5000
    assert 0 <= min(codes) < max(codes) < 2**63


def test_the_way_an_id_is_typed_does_not_make_another_patient() -> None:
    assert code("patient", " M\u00fcller-7 ", SALT) == code("patient", "Mu\u0308ller-7", SALT)
    assert code("patient", "007", SALT) != code("patient", "7", SALT)


def test_a_long_salt_counts_to_its_last_byte() -> None:
    assert code("patient", "P1", b"x" * 100 + b"a") != code("patient", "P1", b"x" * 100 + b"b")


def test_fingerprint_and_record_code_give_nothing_away() -> None:
    assert len(record_code("Smith_John/rec.edf", SALT)) == 16
    assert fingerprint(SALT) != fingerprint(b"another salt")
    assert SALT.hex() not in fingerprint(SALT)


def test_the_salt_comes_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDCL_SALT", "a salt from outside")
    assert site_salt() == b"a salt from outside"
    for weak in ("0" * 32, "a" * 100, "abababababab", "0123456789", "9876543210", "abcdefgh", "password", "Passw0rd!"):
        monkeypatch.setenv("MEDCL_SALT", weak)
        with pytest.raises(UsageError, match="MEDCL_SALT: the salt is easily guessed.*make one: python -c") as raised:
            site_salt()
        assert weak not in str(raised.value)
    for strong in ("salt of the repro", "5d81d9ce9cc30af4", "correct horse battery", "UalnuOyDVUQU"):
        monkeypatch.setenv("MEDCL_SALT", strong)
        assert site_salt() == strong.encode()
    monkeypatch.setenv("MEDCL_SALT", "short")
    with pytest.raises(UsageError, match="MEDCL_SALT: the salt has 5 bytes"):
        site_salt()


def test_a_salt_is_made_once_and_is_readable_by_this_user_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MEDCL_SALT")
    monkeypatch.setenv("HOME", str(tmp_path))
    first = site_salt()
    file = tmp_path / ".config" / "medcl" / "salt"
    assert len(first) >= 32
    assert site_salt() == first == file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["salt"]


def test_processes_that_start_together_agree_on_one_salt(tmp_path: Path) -> None:
    program = "from medcl.archive.identity import site_salt; print(site_salt().decode())"
    # Interpreters cost a second each: two are enough to meet.
    both = [
        subprocess.Popen([sys.executable, "-c", program], env={"HOME": str(tmp_path)}, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert len({process.communicate()[0] for process in both} - {b""}) == 1
