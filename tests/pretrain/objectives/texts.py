"""Objectives of texts without an archive: a step of written texts and of numbers in the place of images."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders import TextEncoder, build
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.report.text import text_code
from medcl.pretrain.objectives import objective_class
from medcl.pretrain.objectives.base import Objective, Parts
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import draw_views

from .steps import Flat

WIDTH = 8


def encoder_of(texts: Sequence[str]) -> TextEncoder:
    """A small one, with a tokenizer of these texts."""
    torch.manual_seed(0)
    config = TextEncoderConfig(dim=WIDTH, hidden=32, depth=1, dropout=0.0, vocabulary=400, patients=1)
    return build(config, Tokenizer.train(list(texts) * 2, 400))


def objective_of(
    settings: dict[str, Any], encoder: TextEncoder, image: Any = None, size: tuple[int, ...] = (WIDTH,)
) -> Objective:
    """An objective of `report`, or of `image` (numbers, or of a size for an encoder) and `report`, unprojected."""
    inputs = {"report": {"modality": "report"}, **({"image": {"modality": "image"}} if "between" in settings else {})}
    head = {"head": {"dim": 0}} if hasattr(objective_class(settings["kind"]).Config(), "head") else {}
    recipe = read({"inputs": inputs, "objectives": {"one": {**head, **settings}}})
    encoders: dict[str, Any] = {"report": encoder, "image": image or Flat(WIDTH)}
    sizes = {"report": (64,), "image": size}
    parts = Parts("one", encoders, sizes, recipe, {}, 10, 8, ("patient", "item", "text"))
    return objective_class(settings["kind"]).made(recipe.objectives["one"], parts)


def step_of(
    objective: Objective, encoder: TextEncoder, texts: Sequence[str], images: Tensor | None = None, image: Any = None
) -> tuple[Step, Tensor]:
    """A batch of one text a patient, and the token ids."""
    x = torch.from_numpy(encoder.tokenizer(list(texts), 64)).long()
    count = torch.arange(len(texts))
    ids = {"patient": count, "item": count, "text": torch.tensor([text_code(one) for one in texts])}
    ids |= {"report": 100 + count, "image": 200 + count}
    inputs = {"report": (x, encoder), **({} if images is None else {"image": (images, image or Flat(WIDTH))})}
    seen = {}
    for name, wanted in objective.looks:
        samples, network = inputs[name]
        drawn = draw_views(samples, None, wanted, torch.Generator(), None)
        seen[name, wanted.key] = Seen(drawn, wanted.blocks, network, ids, teacher=network)
    present = {name: torch.ones(len(texts), dtype=torch.bool) for name in inputs}
    return Step(seen, ids, present, torch.Generator(), None), x
