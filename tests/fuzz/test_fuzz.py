"""No damaged input raises what is not ours, hangs or ends its process; `make fuzz` tries more of them."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import Worker, is_finding

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory a process are those of Linux")
EXAMPLES = 12
"""A kind."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_read_or_refused_in_words_of_ours(kind: str, scratch: Path) -> None:
    with Worker(kind, scratch / kind.replace(" ", "_")) as worker:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.integers(0, 10**6))
        def tried(number: int) -> None:
            outcome = worker.read(number)
            assert not is_finding(kind, outcome), f"python -m tests.fuzz {kind!r} {number}: {outcome}"

        tried()
