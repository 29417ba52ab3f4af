"""CoCa's caption term beside CLIP, on written texts with numbers in the place of images."""

from typing import Any

import pytest
import torch

from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.passes import Step
from medcl.pretrain.reading import read
from tests.contrast.compare import draw
from tests.pretrain import shipped

from .texts import WIDTH, encoder_of, objective_of, step_of

TEXTS = ("A mild nodule is seen. No scar is seen.", "A cavity is seen.", "No scar.", "A severe nodule is seen.")
SETTINGS = {"kind": "caption", "between": ["image", "report"], "hidden": 32}


def made(**more: Any) -> tuple[Any, Step, torch.Tensor]:
    encoder, images = encoder_of(TEXTS), draw(len(TEXTS), WIDTH).float()
    objective: Any = objective_of({**SETTINGS, **more}, encoder)
    step, _ = step_of(objective, encoder, TEXTS, images)
    return objective, step, images


def test_the_loss_is_the_mean_over_all_tokens_of_records_with_a_report() -> None:
    objective, step, images = made()
    tokens = step.see("report", objective.wanted["report"]).x
    total, number = 0.0, 0
    for image, text in zip(images, tokens, strict=True):
        for k in range(1, int((text != 0).sum())):
            scores = objective.captioner(text[None, :k], image[None, None])[0, -1].double()
            total, number = total + float((scores.logsumexp(0) - scores[text[k]]).detach()), number + 1
    torch.testing.assert_close(objective(step)[""].double(), torch.tensor(total / number).double(), rtol=1e-5, atol=0)


def test_after_training_reports_of_other_images_are_less_foreseen() -> None:
    objective, step, _ = made()
    optimiser = torch.optim.Adam(objective.parameters(), 3e-3)
    for _ in range(60):
        loss = objective(step)[""]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    tokens, cells = (step.see(name, objective.wanted[name]) for name in ("report", "image"))
    with torch.no_grad():
        own, number = objective.captioner.surprise(tokens.x, cells.dense)
        wrong, _ = objective.captioner.surprise(tokens.x, cells.dense.roll(1, 0))
    assert float(own.sum() / number.sum()) < 0.5 < float(wrong.sum() / number.sum())


def test_the_weight_falls_evenly_to_what_is_left() -> None:
    config = made(weight=2.0, left=0.1)[0].config
    assert [config.weight_at(done) for done in (0.0, 0.5)] == pytest.approx([2.0, 1.1])
    assert config.weight_at(1 - 1e-9) == pytest.approx(0.2)


@pytest.mark.parametrize("changes", [{"between": ["report", "image"]}, {"between": ["report"]}, {"left": 2.0}])
def test_what_is_no_record_and_its_report_is_refused(changes: dict[str, object]) -> None:
    content = shipped.content("coca")
    caption = content["objectives"]["caption"] | changes
    with pytest.raises(UsageError, match=r"caption"):
        check(read({**content, "objectives": {**content["objectives"], "caption": caption}}))
