"""Reports with one word exchanged as negatives: whose they are, and whose not."""

import pytest
import torch

from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.opposites import opposites
from medcl.contrast.pairings.pairs import itself
from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read
from tests.contrast.compare import draw
from tests.pretrain import shipped

from .texts import WIDTH, encoder_of, objective_of, step_of

TEXTS = ("A nodule on the left.", "A nodule on the right.", "A clear view.")
BETWEEN = {"kind": "opposites", "between": ["image", "report"], "temperature": 0.2}


def test_a_report_that_reads_like_another_after_the_exchange_is_no_negative_of_its_record() -> None:
    encoder, images = encoder_of(TEXTS), draw(3, WIDTH).float()
    objective = objective_of({**BETWEEN, "kinds": ["side"], "own": 0.1}, encoder)
    step, x = step_of(objective, encoder, TEXTS, images)
    found = objective(step)
    a = torch.nn.functional.normalize(images, dim=1)
    b = torch.nn.functional.normalize(encoder.embed(x), dim=1)
    # The exchanged text of either of the first two is that of the other, a positive of the other's record.
    candidates = torch.cat([b, b[[1, 0]]])
    s = a @ candidates.T / 0.2
    own = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], dtype=torch.bool)
    there = torch.stack([-s[i].log_softmax(0)[own[i]].mean() for i in range(3)]).mean()
    back = torch.stack([-s[:, i].log_softmax(0)[i] for i in range(3)]).mean()
    torch.testing.assert_close(found["contrast"], (there + back) / 2)
    grounded = opposites(a[:2], b[:2], b[[1, 0]][:, None], temperature=0.2)
    torch.testing.assert_close(found["own"], grounded)


def test_without_a_word_to_exchange_it_is_clip() -> None:
    texts = ["A clear view.", "Unremarkable study.", "A fine day."]
    encoder, images = encoder_of(texts), draw(3, WIDTH).float()
    objective = objective_of({**BETWEEN, "kinds": ["side"], "own": 0.1, "intra": 0.1, "rank": 0.1}, encoder)
    step, x = step_of(objective, encoder, texts, images)
    with pytest.warns(UserWarning, match="no anchor"):
        found = objective(step)
    torch.testing.assert_close(found["contrast"], clip(images, encoder.embed(x), itself(images), temperature=0.2))
    assert found["own"] == found["rank"] == 0


def test_margins_are_those_of_the_step_before() -> None:
    encoder, images = encoder_of(TEXTS), draw(3, WIDTH).float()
    objective = objective_of({**BETWEEN, "kinds": ["side", "size"], "rank": 0.2}, encoder)
    step, x = step_of(objective, encoder, TEXTS, images)
    z = encoder.embed(x)
    gaps = torch.nn.functional.normalize(images[:2], dim=1) * torch.nn.functional.normalize(z[:2], dim=1)
    first = objective(step)["rank"]
    assert objective.margins[1] == 0  # type: ignore[index]
    second = objective(step)["rank"]
    assert (second > first) == (objective.margins[0] > 0)  # type: ignore[index]
    objective.eval()
    before = objective.margins.clone()  # type: ignore[operator]
    objective(step)
    assert torch.equal(before, objective.margins)  # type: ignore[arg-type]
    assert gaps.shape == (2, WIDTH)


def test_an_untrained_teacher_is_the_encoder_itself() -> None:
    encoder, images = encoder_of(TEXTS), draw(3, WIDTH).float()
    objective = objective_of({**BETWEEN, "distance": 0.005, "taught": 0.1}, encoder)
    step, _ = step_of(objective, encoder, TEXTS, images)
    found = objective(step)
    assert found["distance"].item() == pytest.approx(0, abs=1e-12)
    assert found["taught"].item() > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"between": ["report", "image"]}, "the second of reports"),
        ({"kinds": ["colour"]}, "kinds"),
        ({"own": -1.0}, "negative"),
        ({"loss": "siglip"}, "without loss"),
    ],
)
def test_what_cannot_be_exchanged_is_refused(changes: dict[str, object], said: str) -> None:
    content = shipped.content("ce_clip")
    with pytest.raises(UsageError, match=said):
        check(read({**content, "objectives": {"pair": content["objectives"]["pair"] | changes}}))
