"""Batches of token ids from the store of reports, beside tokenising the texts of each batch anew."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from medcl.data.prepare import prepare
from medcl.modality.report.config import TextConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.prepare import TokenisedConfig
from medcl.modality.report.samples import Reports
from tests.data.report_archive import manifest

REPORTS, BATCH, BATCHES, REPEATS = 4000, 128, 20, 5
PLACES = [
    "left upper lobe",
    "right lower lobe",
    "lingula",
    "mediastinum",
    "left hilum",
    "right apex",
    "costophrenic angle",
]
FINDINGS = ["nodule", "opacity", "consolidation", "atelectasis", "effusion", "scarring", "calcification", "cyst"]
DEGREES = ["small", "moderate", "large", "unchanged", "new", "resolving", "subtle", "ill-defined"]


def report(rng: np.random.Generator) -> str:
    """Findings of about 60 words."""
    lines = [
        f"There is a {rng.choice(DEGREES)} {rng.choice(FINDINGS)} of {rng.uniform(0.3, 9):.1f} cm in the "
        f"{rng.choice(PLACES)}, {rng.choice(DEGREES)} since {rng.integers(1990, 2030)}."
        for _ in range(4)
    ]
    return "FINDINGS:\n" + " ".join(lines)


def seconds(work: Callable[[], None]) -> float:
    """Processor time: what another program takes of the cores is not counted, and all threads are."""
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.benchmark
@pytest.mark.parametrize("draw", ["sentence", "whole"])
def test_tokens_from_the_store_cost_a_twentieth_of_tokenising(tmp_path: Path, draw: str) -> None:
    rng = np.random.default_rng(0)
    texts = [report(rng) for _ in range(REPORTS)]
    tokenizer = Tokenizer.train(texts, 2000)
    found, config = manifest(texts, tmp_path), TextConfig(draw=draw, length=96)  # type: ignore[arg-type]
    reports = Reports(
        prepare(found, TokenisedConfig.of(config, tokenizer, tokenizer.fingerprint), tmp_path, jobs=1), found, config
    )
    batches = [rng.integers(len(reports), size=BATCH) for _ in range(BATCHES)]
    written = [[reports.text_of(one) for one in batch] for batch in batches]
    for batch, words in zip(batches, written, strict=True):
        np.testing.assert_array_equal(reports.__getitems__(batch)["x"].numpy(), tokenizer(words, config.length))

    def stored() -> None:
        for batch in batches:
            reports.__getitems__(batch)["x"]

    def anew() -> None:
        for words in written:
            tokenizer(words, config.length)

    times = [(seconds(stored), seconds(anew)) for _ in range(REPEATS)]
    ratio = median(slow / quick for quick, slow in times)
    quick, slow = (1000 * median(side) / BATCHES for side in zip(*times, strict=True))
    print(f"\nms a batch of {BATCH}, {draw}: from the store {quick:.2f}, tokenised {slow:.2f}, ratio {ratio:.0f}")
    assert ratio >= 20
