"""A stimulus is put later, so that it lies beside the response to it; nothing moves across a gap."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medcl.data.prepare import prepare
from medcl.errors import UsageError
from medcl.modality import wing
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig
from medcl.modality.signal.delays import delayed
from medcl.pretrain.inputs import Channels
from tests.modality.signal.test_bad_channels import RATE, written

CONFIG = SignalConfig(channels=["C3", "heard"], sampling_rate=RATE, standardise="none", delay={"heard": 0.15})


def test_each_stretch_is_moved_by_itself() -> None:
    x = np.arange(20, dtype=np.float32).reshape(2, 10)
    found = delayed(x, [0, 3], [0, 2, 6])
    np.testing.assert_array_equal(found[0], x[0])
    np.testing.assert_array_equal(found[1], [10, 10, 12, 12, 12, 12, 16, 16, 16, 16])
    np.testing.assert_array_equal(delayed(x, [1, 0], [0])[0], [0, *range(9)])


def test_a_recording_is_prepared_so_and_the_run_remembers_it(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 400))
    manifest = written(tmp_path, {"one": (["C3", "heard"], x)})
    store = prepare(manifest, CONFIG, tmp_path / "s", jobs=1)
    found = store.read(0)
    np.testing.assert_allclose(found[0], x[0], atol=1e-6)
    np.testing.assert_allclose(found[1, 15:], x[1, :-15], atol=1e-6)
    own = wing("signal")
    for channels, expected in ((("heard",), {"heard": 0.15}), (("C3",), None)):
        spec = own.spec_of(SignalEncoderConfig(), CONFIG, Channels(channels, RATE), "eeg")
        assert own.data_of(spec).delay == expected


@pytest.mark.parametrize(
    ("delay", "said"),
    [({"herd": 0.1}, "'herd' is none of C3, heard.*did you mean 'heard'"), ({"C3": -1}, "0 s or more")],
)
def test_what_cannot_be_is_refused(tmp_path: Path, delay: dict[str, float], said: str) -> None:
    manifest = written(tmp_path, {"one": (["C3", "heard"], np.random.default_rng(0).normal(size=(2, 400)))})
    with pytest.raises(UsageError, match=f"data.delay: .*{said}"):
        prepare(manifest, replace(CONFIG, delay=delay), tmp_path / "s", jobs=1)
