"""PRD and PCR: classes that come one after the other, without what they need of an earlier run, and what it adds."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.continual import Teacher
from medcl.pretrain.objectives.positives import places
from medcl.pretrain.objectives.proxies import ProxiesConfig
from medcl.pretrain.reading import read

from .steps import BITS, Trained, batch_of, bits

CLASSES = ("a", "b", "c")
KINDS = {"of": "image", "target": "kind", "classes": CLASSES}
Y = torch.tensor([0, 1, 0, -1, 1])


def trained_on(objective: dict[str, Any]) -> tuple[Trained, dict[str, Any], Any]:
    torch.manual_seed(0)
    batch = batch_of({"image": torch.randn(len(Y), BITS)})
    batch["ids"][places("kind", CLASSES)] = Y
    trained = Trained({"kinds": {**KINDS, **objective}}, bits("image"))
    return trained, batch, trained.objectives["kinds"]


def test_prd_is_supcon_with_prototypes_that_follow() -> None:
    trained, batch, own = trained_on({"kind": "prd"})
    found = trained(batch)
    f = trained.encoders["image"](batch["inputs"]["image"])[:, 0].repeat(2, 1)
    y = Y.repeat(2)
    z, known = own.head(f)[y >= 0], y[y >= 0]
    expected = info_nce(z, z, same(known).without(itself(known)), temperature=0.1)
    torch.testing.assert_close(found["kinds.contrast"], expected)
    apart = 1 - F.cosine_similarity(f[y >= 0], own.prototypes[known], dim=1)
    torch.testing.assert_close(found["kinds.prototypes"], apart.mean())
    assert found["kinds.distillation"] == 0
    (encoder,) = torch.autograd.grad(
        found["kinds.prototypes"], trained.encoders["image"].layer.weight, allow_unused=True, retain_graph=True
    )
    assert encoder is None
    assert own.known.tolist() == [1, 1, 0]


def test_old_prototypes_keep_their_relations_to_new_samples() -> None:
    trained, batch, own = trained_on({"kind": "prd", "relation_temperature": 0.5})
    own.teacher = Teacher(bits("image")["image"])
    with torch.no_grad():
        for parameter in own.teacher.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    own.old, own.taught = torch.randn(3, 32), torch.tensor([True, False, True])
    found = trained(batch)["kinds.distillation"]
    x = batch["inputs"]["image"].repeat(2, 1)
    f, w = trained.encoders["image"](x)[:, 0], own.teacher.network(x)[:, 0]
    expected = torch.zeros(())
    for c in (0, 2):
        q = torch.stack([F.cosine_similarity(one, own.old[c], dim=0) / 0.5 for one in w]).softmax(0)
        p = torch.stack([F.cosine_similarity(one, own.prototypes[c], dim=0) / 0.5 for one in f]).softmax(0)
        expected = expected + (q * (q / p).log()).sum() / 2
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, own.prototypes)
    assert gradient[[0, 2]].abs().sum(1).min() > 0
    assert not gradient[1].any()


def test_pcr_contrasts_samples_with_proxies_of_the_batch() -> None:
    trained, batch, own = trained_on({"kind": "proxies"})
    found = trained(batch)["kinds"]
    f = trained.encoders["image"](batch["inputs"]["image"])[:, 0].repeat(2, 1)
    known = Y.repeat(2) >= 0
    y = Y.repeat(2)[known]
    u = F.normalize(torch.cat([f[known], own.proxies[y]]), dim=1)
    y, total = y.repeat(2), torch.zeros(())
    for i in range(len(u)):
        e = [torch.exp(u[i] @ u[j] / 0.09) for j in range(len(u)) if j != i]
        positive = [torch.exp(u[i] @ u[j] / 0.09) for j in range(len(u)) if j != i and y[j] == y[i]]
        total = total - sum(((one / sum(e)).log() for one in positive), torch.zeros(())) / len(positive)
    torch.testing.assert_close(found, total / len(u), rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(found, own.proxies)
    assert not gradient[2].any(), "a class that is not in the batch is not pushed away"


def test_the_scale_of_hpcr_goes_up_and_down() -> None:
    config = ProxiesConfig(of="image", target="kind", classes=CLASSES, period=500)
    assert [config.scale(step) for step in (0, 250, 500)] == pytest.approx([0.5625, 1.8, 0.5625])
    assert ProxiesConfig(of="image").scale(7) == 1
    trained, batch, _ = trained_on({"kind": "proxies", "period": 2})
    first, second = (float(trained(batch)["kinds"].detach()) for _ in range(2))
    assert second / first == pytest.approx(1.8 / 0.5625)


@pytest.mark.parametrize("classes", [[], ["a"], ["a", "a"]])
def test_classes_are_named(classes: list[str]) -> None:
    objective = {"kind": "proxies", "of": "image", "target": "kind", "classes": classes}
    with pytest.raises(UsageError, match="objectives.kinds: target names a column"):
        check(read({"inputs": {"image": {}}, "objectives": {"kinds": objective}}))
