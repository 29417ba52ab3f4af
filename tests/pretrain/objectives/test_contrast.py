"""What the general objective computes from a batch."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.contrast import multilinear
from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.info_nce import info_nce
from medcl.documents import merge
from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import Side, linked, pair
from medcl.pretrain.reading import read

from .steps import BITS, Trained, batch_of, bits

KINDS = ("image", "volume", "signal")
HEAD = {"hidden": 64, "dim": 16}


def between(*kinds: str, **more: Any) -> dict[str, Any]:
    return {"between": list(kinds), "exclude": ["patient"] if len(kinds) == 2 else [], "head": HEAD, **more}


def every_pair(**more: Any) -> dict[str, Any]:
    pairs = [("image", "volume"), ("image", "signal"), ("volume", "signal")]
    heads = [HEAD, "image-volume", "image-volume"]
    return {f"{a}-{b}": between(a, b, **{**more, "head": head}) for (a, b), head in zip(pairs, heads, strict=True)}


def exclusive_or(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Bits of which each two modalities tell nothing of the third, and both together tell all."""
    return {"image": a, "volume": b, "signal": -a * b}


def z_of(trained: Trained, kind: str, x: Tensor) -> Tensor:
    encoder = trained.encoders[kind]
    head = next(iter(trained.objectives.values())).head(kind)  # type: ignore[union-attr,operator]
    return torch.nn.functional.normalize(head(encoder.pool(encoder(x))), dim=-1)  # type: ignore[operator,union-attr]


def accuracy(trained: Trained, *, together: bool) -> float:
    """How often the third modality is found among all that it can be, by the two others."""
    codes = torch.tensor(list(product((-1.0, 1.0), repeat=BITS)))
    count = len(codes)
    x = exclusive_or(codes.repeat_interleave(count, 0), codes.repeat(count, 1))
    with torch.no_grad():
        a, b, c = (z_of(trained, kind, own) for kind, own in {**x, "signal": codes}.items())
    scores = multilinear.score(*multilinear.prepared(c, (a, b))).T if together else (a + b) @ c.T
    return float((codes[scores.argmax(dim=1)] == x["signal"]).all(dim=1).float().mean())


@pytest.mark.parametrize(("loss", "least", "most"), [("clip", 0.0, 0.3), ("symile", 0.9, 1.0)])
def test_symile_solves_the_exclusive_or_that_pairs_of_modalities_cannot(loss: str, least: float, most: float) -> None:
    joint = {"joint": between(*KINDS, learn_temperature=True)}
    trained = Trained(joint if loss == "symile" else every_pair(learn_temperature=True), bits(*KINDS))
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        a, b = torch.randint(0, 2, (2, 32, BITS), generator=generator).float() * 2 - 1
        losses = trained(batch_of(exclusive_or(a, b)), generator)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    found = accuracy(trained, together=loss == "symile")
    assert least <= found <= most, f"chance is 1 in {2**BITS}"


def test_who_belongs_together() -> None:
    """Two images of a study with one report; another study of the patient; two patients with the same words."""
    ids = {
        "patient": torch.tensor([1, 1, 1, 2, 3]),
        "item": torch.tensor([10, 11, 12, 20, 30]),
        "image": torch.tensor([10, 11, 12, 20, 30]),
        "report": torch.tensor([50, 50, 51, 60, 70]),
        "text": torch.tensor([7, 8, 9, 5, 5]),
    }
    a, b = Side(ids, 1, 5, ("image",)), Side(ids, 1, 5, ("report",))
    pairs = pair(ContrastConfig(exclude=("patient",)), a, b, None).pairs()
    expected = torch.tensor(
        [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]], dtype=torch.bool
    )
    assert torch.equal(pairs.positive, expected)
    assert torch.equal(linked(a, b).pairs().positive, expected)
    out = torch.zeros(5, 5, dtype=torch.bool)
    out[2, :2] = out[:2, 2] = True
    assert pairs.candidate is not None
    assert torch.equal(~pairs.candidate, out)
    only = pair(ContrastConfig(within="patient"), a, b, None).pairs()
    assert only.candidate is not None
    assert torch.equal(only.candidate, ids["patient"][:, None] == ids["patient"])


def test_a_mixture_of_positives_weighs_them() -> None:
    ids = {"patient": torch.tensor([1, 1, 2]), "trial": torch.tensor([5, 6, 7])}
    side = Side(ids, 2, 3, ("signal",))
    masks = pair(ContrastConfig(positives={"patient": 0.25, "trial": 0.75}), side, None, None).pairs()
    patient, trial = (ids[level].repeat(2)[:, None] == ids[level].repeat(2) for level in ("patient", "trial"))
    expected = (0.25 * patient + 0.75 * trial).masked_fill(torch.eye(6, dtype=torch.bool), 0)
    torch.testing.assert_close(masks.positive, expected)


def test_convirt_is_its_loss_with_lambda_on_the_way_to_the_reports() -> None:
    x = {kind: torch.randn(8, BITS) for kind in ("image", "signal")}
    trained = Trained({"pair": between(*x, settings={"weight": 0.75}, temperature=0.2)}, bits(*x))
    a, b = (z_of(trained, kind, own) for kind, own in x.items())
    expected = clip(a, b, torch.eye(8, dtype=torch.bool), weight=0.75, temperature=0.2)
    torch.testing.assert_close(trained(batch_of(x))["pair"], expected)


def test_a_one_sided_similarity_keeps_the_length_of_the_first_side() -> None:
    x = {kind: torch.randn(8, BITS) for kind in ("image", "signal")}
    settings = {"similarity": "one_sided", "settings": {"weight": 1.0}, "temperature": 1.0}
    trained = Trained({"pair": between(*x, **settings)}, bits(*x))
    own: Any = trained.objectives["pair"]
    a, b = (own.head(kind)(trained.encoders[kind](one)[:, 0]) for kind, one in x.items())
    expected = torch.nn.functional.cross_entropy(a @ torch.nn.functional.normalize(b, dim=1).T, torch.arange(8))
    torch.testing.assert_close(trained(batch_of(x))["pair"], expected)


def test_windows_attract_each_other_by_their_distance_in_time() -> None:
    ids = {"trial": torch.tensor([1, 1, 1, 2]), "position": torch.tensor([0.0, 2.0, 8.0, 0.0])}
    side = Side(ids, 1, 4, ("signal",))
    masks = pair(ContrastConfig(positives="position", bandwidth=2.0, within="trial"), side, None, None).pairs()
    apart = ids["position"][:, None] - ids["position"]
    same_trial = ids["trial"][:, None] == ids["trial"]
    assert masks.candidate is not None
    assert torch.equal(masks.candidate, same_trial & ~torch.eye(4, dtype=torch.bool))
    weights = torch.exp(-((apart / 2.0) ** 2) / 2)
    torch.testing.assert_close(masks.positive[masks.candidate].float(), weights[masks.candidate])


def test_distillation_mixes_targets_and_the_queue_fills_with_earlier_batches() -> None:
    x = {kind: torch.randn(8, BITS) for kind in ("image", "signal")}
    common = between(*x, temperature=0.2)
    plain = Trained({"pair": {**common, "settings": {"weight": 0.75}}}, bits(*x))
    without = plain(batch_of(x))["pair"]
    # The copies are the encoders at first, so that the hard targets give what they give without copies.
    copies = {**common, "kind": "momentum-distillation", "share": 0.75, "distillation": 0.0}
    hard = Trained({"pair": {**copies, "negatives": {"queue": 12, "momentum": 0.9}}}, bits(*x))
    torch.testing.assert_close(hard(batch_of(x))["pair"], without)
    soft = Trained({"pair": {**copies, "distillation": 0.4}}, bits(*x))
    a, b = (z_of(soft, kind, own).detach() for kind, own in x.items())
    expected = torch.zeros(())
    for weight, (z, other) in ((0.75, (a, b)), (0.25, (b, a))):
        logits = z @ other.T / 0.2
        targets = 0.4 * logits.softmax(dim=1) + 0.6 * torch.eye(8)
        expected = expected - weight * (targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(soft(batch_of(x))["pair"], expected)
    again = batch_of({kind: torch.randn(8, BITS) for kind in x})
    again["ids"] = {name: own + 100 for name, own in again["ids"].items()}
    hard(again)
    assert {kind: len(queue) for kind, queue in hard.objectives["pair"].queues.items()} == {"image": 12, "signal": 12}  # type: ignore[union-attr,operator]


@pytest.mark.parametrize("batch", [True, False])
def test_a_queue_is_moco_with_or_without_the_other_keys_of_the_batch(batch: bool) -> None:
    x = {"image": torch.randn(4, BITS)}
    objective = {"of": "image", "head": HEAD, "negatives": {"queue": 8, "batch": batch}}
    trained = Trained({"moco": objective}, bits("image"))
    z = z_of(trained, "image", x["image"]).detach()
    first = trained(batch_of(x))["moco"]
    expected = info_nce(z, z, torch.eye(4, dtype=torch.bool)) if batch else torch.zeros(())
    torch.testing.assert_close(first, expected, atol=1e-6, rtol=1e-5)
    other = batch_of({"image": torch.randn(4, BITS)})
    other["ids"] = {name: own + 100 for name, own in other["ids"].items()}
    query = z_of(trained, "image", other["inputs"]["image"]).detach()
    logits = torch.cat([query @ query.T, query @ z.T], dim=1) / 0.1
    if not batch:
        logits[:, :4] = logits[:, :4].masked_fill(~torch.eye(4, dtype=torch.bool), -torch.inf)
    torch.testing.assert_close(trained(other)["moco"], -logits.log_softmax(dim=1).diagonal().mean())


def test_the_most_similar_negatives_are_left_out_as_false_ones() -> None:
    x = {"image": torch.randn(4, BITS)}
    objective = {"of": "image", "head": HEAD, "negatives": {"queue": 8, "drop": 0.34}}
    trained = Trained({"moco": objective}, bits("image"))
    z = z_of(trained, "image", x["image"]).detach()
    logits = z @ z.T / 0.1
    hardest = logits.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf).argmax(dim=1)
    logits[torch.arange(4), hardest] = -torch.inf
    torch.testing.assert_close(trained(batch_of(x))["moco"], -logits.log_softmax(dim=1).diagonal().mean())


@pytest.mark.parametrize("loss", ["anchored", "symile"])
def test_samples_that_lack_a_modality_are_trained_on(loss: str) -> None:
    x = {kind: torch.randn(6, BITS) for kind in KINDS}
    whole = batch_of(x)
    anchored = {
        "image-signal": between("image", "signal"),
        "volume-signal": between("volume", "signal", head="image-signal"),
    }
    trained = Trained(anchored if loss == "anchored" else {"joint": between(*KINDS)}, bits(*KINDS))
    there = torch.tensor([1, 1, 0, 1, 0, 1], dtype=torch.bool)
    some = {
        **whole,
        "inputs": {**x, "volume": x["volume"][there]},
        "present": {**whole["present"], "volume": there},
    }
    losses = trained(some)
    if loss == "anchored":
        rows = {kind: own[there] for kind, own in x.items()}
        # The signals whose volume is missing are negatives of the volumes that are there.
        assert losses["volume-signal"] > trained(batch_of(rows))["volume-signal"]
        torch.testing.assert_close(losses["image-signal"], trained(whole)["image-signal"])
    none = {
        **whole,
        "inputs": {kind: own for kind, own in x.items() if kind != "volume"},
        "present": {**whole["present"], "volume": torch.zeros(6, dtype=torch.bool)},
    }
    losses = trained(none)
    assert losses["joint" if loss == "symile" else "volume-signal"] == 0


def test_other_records_of_the_patient_are_left_out() -> None:
    x = {"image": torch.randn(4, BITS)}
    trained = Trained({"views": {"of": "image", "exclude": ["patient"], "head": HEAD}}, bits("image"))
    apart_from_all = trained(batch_of(x))["views"]
    one = trained(batch_of(x, torch.tensor([1, 1, 2, 2])))["views"]
    assert one < apart_from_all, "fewer negatives"
    alone = trained(batch_of(x, torch.tensor([1, 1, 1, 1])))["views"]
    torch.testing.assert_close(alone, torch.zeros(()), msg="without views both views are the same, and alone")


def test_features_are_dropped_before_a_projection_in_training_only() -> None:
    x = {kind: torch.randn(4, BITS) for kind in ("image", "volume")}
    trained = Trained({"pair": between(*x, head={**HEAD, "dropout": 0.5})}, bits(*x))
    assert trained(batch_of(x))["pair"] != trained(batch_of(x))["pair"]
    trained.eval()
    assert trained(batch_of(x))["pair"] == trained(batch_of(x))["pair"]


WRONG: dict[str, dict[str, Any]] = {
    "name either `of`, one input, or `between`": {},
    "two or more different inputs, got image": {"between": ["image", "image"]},
    "objectives.one.loss: 'info_nse' is none of .*did you mean 'info_nce'": {"of": "image", "loss": "info_nse"},
    "the loss mv_dhel compares views of one input": {"between": ["image", "report"], "loss": "mv_dhel"},
    "the loss word_alignment compares cells with words": {"between": ["image", "report"], "loss": "word_alignment"},
    "the loss symile and 1 input do not fit together": {"of": "image", "loss": "symile"},
    "the loss clip and 3 inputs do not fit together": {"between": ["image", "report", "signal"], "loss": "clip"},
    "the loss cloob and the similarity sparc do not fit": {"of": "image", "loss": "cloob", "similarity": "sparc"},
    "settings: the loss debiased has no 'tau'": {"of": "image", "loss": "debiased", "settings": {"tau": 0.1}},
    "conr takes z, predicted, which an objective of kind contrast has not": {"of": "image", "loss": "conr"},
    "temperature: 0 is not above 0": {"of": "image", "temperature": 0},
    "the loss align_uniform has no temperature to learn": {
        "of": "image",
        "loss": "align_uniform",
        "learn_temperature": True,
    },
    "positives 'soft:report' need a frozen encoder: set inputs.report.locked": {
        "of": "image",
        "positives": "soft:report",
    },
    "positives 'neighbours' are of views of one input": {"between": ["image", "report"], "positives": "neighbours"},
    "takes two views of a sample, copies asks for 3": {
        "of": "image",
        "loss": "supremix",
        "positives": "value:age",
        "copies": 3,
    },
    "1 views of a sample leave nothing": {"of": "image", "copies": 1},
    "takes no candidates from a queue": {"of": "image", "loss": "mv_dhel", "negatives": {"queue": 8}},
    "drop: takes a queue": {"of": "image", "negatives": {"drop": 0.1}},
    "holds ids, and positives 'value:age' are numbers": {
        "of": "image",
        "positives": "value:age",
        "negatives": {"queue": 8},
    },
    "momentum: 2 is not from 0 to 1": {"of": "image", "negatives": {"momentum": 2}},
    "head: 'two' is none of one": {"of": "image", "head": "two"},
    "labels: 0 is not above 0": {"of": "image", "positives": "label:sex", "labels": 0},
    "input 'imaeg' is none of image, report, signal; did you mean 'image'": {"of": "imaeg"},
    "0 <= begin < end <= 1": {"of": "image", "begin": 0.6, "end": 0.5},
    "batch.records: symile takes 1": {"between": ["image", "report", "signal"]},
}


@pytest.mark.parametrize("said", WRONG)
def test_what_does_not_fit_together_is_refused_with_a_sentence(said: str) -> None:
    used = {"of": "image"}
    more = {"of": "report"}, {"of": "signal"}, {"between": ["image", "report", "signal"], "loss": "symile"}
    objectives = {"one": WRONG[said], "two_": used, **{f"more{n}": one for n, one in enumerate(more)}}
    inputs = {kind: {"modality": kind} for kind in ("image", "report", "signal")}
    content = {"inputs": inputs, "objectives": objectives, "batch": {"records": 2}}
    with pytest.raises(UsageError, match=said):
        check(read(merge(content, {})))
