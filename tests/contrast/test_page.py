"""Every line of the table of methods, run as it stands and held against the formula of its paper in dense matrices."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl import contrast
from medcl.contrast.losses.feature_transformation import draw_transformation
from medcl.contrast.losses.m3col import draw as draw_mixtures
from medcl.contrast.losses.mochi import draw_mixing
from medcl.contrast.losses.symile import draw_permutations
from tests.contrast import loops as by_loops
from tests.contrast.compare import draw
from tests.contrast.losses import test_cosent, test_gml, test_groco, test_obow, test_slotcon, test_sparc, test_supremix
from tests.contrast.similarities import test_late

PAGE = Path(__file__).parents[2] / "docs" / "contrast.md"
METHODS = dict(
    re.findall(r"^\| ([^|]+?) \|[^|\n]*\|[^|\n]*\|[^|\n]*\| `(.+)` \|$", PAGE.read_text(), flags=re.MULTILINE)
)
N, D = 6, 4
SAMPLE, PATIENT = torch.arange(N), torch.tensor([0, 0, 1, 2, 2, 2])
LABEL, TRIAL = torch.tensor([0, 1, 0, 1, 1, 0]), torch.tensor([0, 0, 1, 2, 3, 3])
STUDY, TEXT_HASH = torch.tensor([0, 1, 2, 3, 4, 4]), torch.tensor([7, 7, 8, 9, 9, 9])
SLICES, PARTITIONS, VOLUMES = (
    torch.tensor([0, 1, 2, 3, 4, 5]),
    torch.tensor([0, 1, 1, 0, 1, 1]),
    torch.tensor([0] * 3 + [1] * 3),
)
POSITION = torch.tensor([0.0, 0.2, 0.5, 0.61, 0.8, 1.0], dtype=torch.float64)
AGE = torch.tensor([40.0, 43.0, 43.0, 60.0, 61.5, 80.0], dtype=torch.float64)
PREDICTED = torch.tensor([50.0, 45.0, 58.0, 59.0, 70.0, 44.0], dtype=torch.float64)
Z1, Z2, Z3, Z4, TEXT, ECG, FROZEN, HELD = (draw(N, D, seed=seed) for seed in range(8))
CELLS1, CELLS2, FEATURES1, FEATURES2 = (draw(N, 5, D, seed=seed) for seed in range(10, 14))
REGIONS, WORDS = draw(N, 4, D, seed=20), draw(N, 3, D, seed=21)
DENSE1, DENSE2 = draw(N, 5, D, seed=22), draw(N, 5, D, seed=23)
CENTRES, RAW = draw(4, 2, seed=24), draw(N, 3, seed=25)
PLACES1, PLACES2, DIAGONAL = draw(N, 5, 2, seed=26), draw(N, 5, 2, seed=27), torch.ones(N, dtype=torch.float64)
PROTOTYPES = draw(3, D, seed=29)
VOCABULARY = draw(D, D, seed=32)
SCORES = [draw(N, 3, seed=seed) for seed in (30, 31)]
TARGET = torch.tensor([True, False, True, True, False, False])
Z, IMAGE = torch.cat([Z1, Z2]), Z1
PRIOR, WIDTHS = torch.tensor([5.0, 1.0]).double(), torch.tensor([0.3, 0.5]).double()
EYE = torch.eye(N, dtype=torch.bool)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def names(method: str) -> dict[str, Any]:
    """What the page's names stand for; `z` and the ids of its rows are those of both views where a line takes them."""
    queue = contrast.MomentumQueue(N, D, dtype=torch.float64)
    queue.enqueue(HELD, SAMPLE + 100)
    both = {"patient": PATIENT, "label": LABEL, "age": AGE, "position": POSITION, "slices": SLICES}
    both |= {"partitions": PARTITIONS, "volumes": VOLUMES, "raw": RAW}
    doubled = {name: torch.cat([values, values]) for name, values in both.items()}
    one_view = method in ("ConR", "CoSENT", "SupReMix", "SimCLR, NT-Xent") or "(z1, z2" in METHODS[method]
    return {
        **vars(contrast),
        **(both if one_view else doubled),
        **{"z": Z1 if method == "ConR" else Z, "z1": Z1, "z2": Z2, "z3": Z3, "z4": Z4, "sample": SAMPLE},
        **{"image": IMAGE, "text": TEXT, "ecg": ECG, "study": STUDY, "text_hash": TEXT_HASH, "trial": TRIAL},
        **{"frozen": FROZEN, "predicted": PREDICTED, "queue": queue, "view": torch.arange(2).repeat_interleave(N)},
        **{"regions": REGIONS, "words": WORDS, "dense1": DENSE1, "dense2": DENSE2, "centres": CENTRES},
        **{"cells1": CELLS1, "cells2": CELLS2, "features1": FEATURES1, "features2": FEATURES2, "diagonal": DIAGONAL},
        **{"places1": PLACES1, "places2": PLACES2, "scores": SCORES, "target": TARGET, "x": Z1, "y": Z2},
        **{"prototypes": PROTOTYPES, "prior": PRIOR, "widths": WIDTHS},
        **{"wrong": torch.stack([Z3, Z4], dim=1)},
        **{"prototypes": PROTOTYPES, "vocabulary": VOCABULARY},
        **{"bias": -3.0, "log_scale": torch.tensor(1.5, dtype=torch.float64), "n_samples": N},
        **{"view_sample": SAMPLE.repeat(3), "views": torch.cat([Z1, Z2, Z3])},
        **{"generator": seeded(), "mixings": mixings(), "sum": sum, "torch": torch},
    }


def mixings() -> list[Any]:
    return [draw_mixtures(N, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def cos(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT


def unit(a: Tensor) -> Tensor:
    return F.normalize(a, dim=-1)


def equal(a: Tensor, b: Tensor | None = None) -> Tensor:
    return a[:, None] == (a if b is None else b)[None]


def nce(scores: Tensor, positive: Tensor, candidate: Tensor | None = None, *, inside: bool = False) -> Tensor:
    """-log of the softmax over the candidates, its mean (or the log of its mean) over the positives, over anchors."""
    e = scores.exp() if candidate is None else scores.exp() * candidate
    shares = e / e.sum(dim=1, keepdim=True)
    rows = []
    for row, own in zip(shares, positive, strict=True):
        if own.any():
            rows.append(-row[own].mean().log() if inside else -row[own].log().mean())
    return torch.stack(rows).mean()


def own_denominator(scores: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    rows = []
    for row, own, others in zip(scores.exp(), positive, negative, strict=True):
        if own.any():
            rows.append((-(row[own] / (row[own] + row[others].sum())).log()).mean())
    return torch.stack(rows).mean()


def views(positive: Tensor, *, inside: bool = False, temperature: float = 0.1) -> Tensor:
    """Among the 2N views, none with itself."""
    apart = ~torch.eye(2 * N, dtype=torch.bool)
    return nce(cos(Z, Z) / temperature, positive & apart, apart, inside=inside)


def two_ways(scores: Tensor, positive: Tensor, candidate: Tensor | None = None, weight: float = 0.5) -> Tensor:
    flipped = None if candidate is None else candidate.T
    return weight * nce(scores, positive, candidate) + (1 - weight) * nce(scores.T, positive.T, flipped)


def twice(ids: Tensor) -> Tensor:
    return equal(ids.repeat(2))


def negatives_of_two_views() -> tuple[Tensor, Tensor]:
    """exp of the similarity with the other view, (2N,), and of those with both views of the others, (2N, 2N - 2)."""
    s = cos(Z, Z)
    return torch.stack([s[i, (i + N) % (2 * N)] for i in range(2 * N)]), torch.stack(
        [s[i, [j for j in range(2 * N) if j % N != i % N]] for i in range(2 * N)]
    )


def dcl(sigma: float | None = None) -> Tensor:
    """Yeh et al., eq. 6 and 9: the sum over both views of -w s/t + log of the 2 (N - 1) negatives."""
    own, others = negatives_of_two_views()
    weight = 1 if sigma is None else 2 - (own / sigma).exp() / (own / sigma).exp().mean()
    return (-weight * own / 0.1 + (others / 0.1).exp().sum(1).log()).mean()


def hard_negatives(beta: float) -> Tensor:
    """Chuang et al., eq. 8, and Robinson et al., eq. 4, as in their released code: N = 2 (B - 1), t = 0.5."""
    own, others = ((x / 0.5).exp() for x in negatives_of_two_views())
    importance = others**beta
    reweighted = (importance * others).sum(1) / importance.mean(1)
    number = 2 * N - 2
    corrected = ((-0.1 * number * own + reweighted) / 0.9).clamp(min=number * torch.tensor(-1 / 0.5).exp())
    return -(own / (own + corrected)).log().mean()


def macl() -> Tensor:
    own, others = negatives_of_two_views()
    t = 0.1 * (1 + 0.5 * own.mean())
    p = (own / t).exp() / ((own / t).exp() + (others / t).exp().sum(1))
    return (-p.log() / (1 - p)).mean()


def moco() -> Tensor:
    own, held = (F.normalize(Z1) * F.normalize(Z2)).sum(1), cos(Z1, HELD)
    return F.cross_entropy(torch.cat([own[:, None], held], 1) / 0.1, torch.zeros(N, dtype=torch.long))


def isogclr() -> Tensor:
    """A first batch at temperature 0.07: each view's sum of exponentials of the others is its own normaliser."""
    own, others = negatives_of_two_views()
    weights = (others / 0.07).softmax(dim=1)
    return 2 * ((weights * others).sum(1) - own).mean()


def g_d() -> Tensor:
    view = torch.arange(2).repeat_interleave(N)
    part = twice(PARTITIONS)
    across = part & equal(view) & ~twice(VOLUMES)
    return own_denominator(cos(Z, Z) / 0.1, (twice(SLICES) | across) & ~torch.eye(2 * N, dtype=torch.bool), ~part)


def local() -> Tensor:
    nearest = torch.cdist(CENTRES, CENTRES).fill_diagonal_(torch.inf).argsort(dim=1)[:, :3]
    terms = []
    for a, b in ((REGIONS, REGIONS + 0.1), (REGIONS + 0.1, REGIONS)):
        within, across = (cos(a, x).div(0.1).exp() for x in (a, b))
        for image in range(N):
            for r in range(4):
                own = across[image, r, r]
                below = own + sum(within[image, r, n] + across[image, r, n] for n in nearest[r])
                terms.append(-(own / below).log())
    return torch.stack(terms).mean()


def y_aware() -> Tensor:
    age = AGE.repeat(2)
    apart = 1 - torch.eye(2 * N, dtype=torch.float64)
    weight = (-((age[:, None] - age) ** 2) / (2 * 5.0**2)).exp() * apart
    share = (cos(Z, Z) / 0.1).exp() * apart
    logs = (share / share.sum(1, keepdim=True)).where(apart > 0, 1.0).log()
    return -((weight * logs).sum(1) / weight.sum(1)).mean()


def kernel_of_ages() -> Tensor:
    return (-((AGE[:, None] - AGE) ** 2) / (2 * 5.0**2)).exp()


def pcl() -> Tensor:
    position = POSITION.repeat(2)
    return views((position[:, None] - position).abs() < 0.35)


def temporal_scl() -> Tensor:
    """Chains of nearest neighbours of equal label are one class."""
    raw, label = RAW.repeat(2, 1), LABEL.repeat(2)
    distance = torch.cdist(raw, raw).masked_fill(~equal(label), torch.inf).fill_diagonal_(torch.inf)
    linked = torch.eye(2 * N, dtype=torch.bool)
    for i, j in enumerate(distance.argmin(dim=1).tolist()):
        linked[i, j] = linked[j, i] = True
    for _ in range(5):
        linked = (linked.double() @ linked.double()) > 0
    return views(linked)


def cwcl() -> Tensor:
    weight = (cos(FROZEN, FROZEN) + 1) / 2
    scores = cos(IMAGE, TEXT) / 0.07
    there = -((weight / weight.sum(1, keepdim=True)) * scores.log_softmax(1)).sum(1).mean()
    return there - scores.T.log_softmax(1).diagonal().mean()


def cloob() -> Tensor:
    x, y = F.normalize(IMAGE, dim=1), F.normalize(TEXT, dim=1)

    def retrieved(state: Tensor, stored: Tensor) -> Tensor:
        return F.normalize((14.3 * state @ stored.T).softmax(1) @ stored, dim=1)

    def loob(a: Tensor, b: Tensor) -> Tensor:
        s, positive = 14.3 * a @ b.T, equal(STUDY)
        rows = [s[i][~positive[i]].logsumexp(0) - s[i][positive[i]].mean() for i in range(N)]
        return torch.stack(rows).mean() / 14.3

    return loob(retrieved(x, x), retrieved(y, x)) + loob(retrieved(y, y), retrieved(x, y))


def siglip() -> Tensor:
    logits = cos(IMAGE, TEXT) * torch.tensor(1.5).exp() - 3.0
    signs = torch.where(equal(STUDY), 1.0, -1.0)
    return -F.logsigmoid(signs * logits).sum(1).mean()


def mochi() -> Tensor:
    mixing = draw_mixing(N, hardest=4, synthetic=4, with_query=2, generator=seeded())
    q, k = F.normalize(Z1, dim=1), F.normalize(Z2, dim=1)
    rows = []
    for i in range(N):
        s = (k @ q[i]).masked_fill(i == SAMPLE, -torch.inf)
        hardest = s.argsort(descending=True)[:4]
        second = k[hardest[mixing.second[i]]]
        first = torch.cat([k[hardest[mixing.first[i]]][:4], q[i].expand(2, -1)])
        share = mixing.share[i].double()[:, None]
        made = F.normalize(share * first + (1 - share) * second, dim=1)
        rows.append(torch.cat([k @ q[i], made @ q[i]]).div(0.2).log_softmax(0)[i])
    return -torch.stack(rows).mean()


def focal() -> Tensor:
    p = (cos(Z1, Z2) / 0.1).softmax(1).diagonal()
    return (-((1 - p) ** 2) * p.log()).mean()


def spread(a: Tensor, b: Tensor) -> Tensor:
    return (-2 * (2 - 2 * cos(a, b)))[~EYE].exp().mean().log()


def aligned(a: Tensor, b: Tensor, positive: Tensor) -> Tensor:
    return torch.stack([(2 - 2 * row[own]).mean() for row, own in zip(cos(a, b), positive, strict=True)]).mean()


def without_gap() -> Tensor:
    clip = two_ways(cos(IMAGE, TEXT) / 0.1, equal(STUDY))
    within = (spread(IMAGE, IMAGE) + spread(TEXT, TEXT)) / 2
    across = (-2 * (2 - 2 * cos(IMAGE, TEXT)))[~equal(STUDY)].exp().mean().log()
    return clip + aligned(IMAGE, TEXT, equal(STUDY)) + within + across


def cacr() -> Tensor:
    d = 2 - 2 * cos(Z1, Z2)
    push = torch.stack([(d[i][~EYE[i]].neg().softmax(0) * d[i][~EYE[i]]).sum() for i in range(N)])
    return d.diagonal().mean() - push.mean()


def auc() -> Tensor:
    s, positive = cos(Z1, Z2) / 0.1, equal(LABEL)
    rows = [F.softplus(s[i][~positive[i]][None] - s[i][positive[i]][:, None]).mean() for i in range(N)]
    return torch.stack(rows).mean()


def groco() -> Tensor:
    s, positive, rows = cos(Z1, Z2), equal(LABEL), []
    for i in range(N):
        near, far = s[i][~positive[i]].sort().values[-4:], s[i][positive[i]].sort().values[:2]
        p, border = test_groco.permutation([*near, *far]), len(near)
        right = [p[:border, k].sum() if k < border else p[border:, k].sum() for k in range(len(p))]
        rows.append(-torch.stack(right).log().mean())
    return torch.stack(rows).mean()


def exponentials() -> Tensor:
    u = F.normalize(torch.stack([Z1, Z2, Z3]), dim=2)
    return torch.einsum("ind,jmd->injm", u, u).div(0.2).exp()


def mv_infonce() -> Tensor:
    e, rows = exponentials(), []
    for i in range(N):
        above = 2 * sum(e[a, i, b, i] for a in range(3) for b in range(a + 1, 3))
        below = sum(e[a, i].sum() - e[a, i, a, i] for a in range(3))
        rows.append(-(above / below).log())
    return torch.stack(rows).mean()


def mv_dhel() -> Tensor:
    e, rows = exponentials(), []
    for i in range(N):
        above = sum(e[a, i, b, i] for a in range(3) for b in range(a + 1, 3))
        below = [e[a, i, a].sum() - e[a, i, a, i] for a in range(3)]
        rows.append(-(above / torch.stack(below).prod()).log())
    return torch.stack(rows).mean()


def symile() -> Tensor:
    units, orders = [F.normalize(x, dim=1) for x in (IMAGE, TEXT, ECG)], draw_permutations(3, N, seeded())
    losses = []
    for m in range(3):
        first, second = (units[k] for k in range(3) if k != m)
        shuffled = units[m] @ (first[orders[m, 0]] * second[orders[m, 1]]).T
        scores = torch.where(EYE, (units[m] * first * second).sum(1)[:, None], shuffled) / 0.07
        losses.append(-scores.log_softmax(1).diagonal().mean())
    return torch.stack(losses).mean()


def gram() -> Tensor:
    u = [F.normalize(x, dim=1) for x in (TEXT, IMAGE, ECG)]
    scores = torch.empty(N, N, dtype=torch.float64)
    for i in range(N):
        for j in range(N):
            rows = torch.stack([u[0][i], u[1][j], u[2][j]])
            scores[i, j] = -torch.linalg.det(rows @ rows.T).sqrt() / 0.07
    target = 0.9 * equal(STUDY) / equal(STUDY).sum(1, keepdim=True) + 0.1 / N
    return -sum((target * s.log_softmax(1)).sum(1).mean() for s in (scores, scores.T)) / 2


def pmrl() -> Tensor:
    u, s, _ = torch.linalg.svd(torch.stack([F.normalize(x, dim=1) for x in (IMAGE, TEXT, ECG)], dim=2))
    total = sum(F.normalize(x, dim=1) for x in (IMAGE, TEXT, ECG))
    direction = u[:, :, 0] * (u[:, :, 0] * total).sum(1, keepdim=True).sign()
    within = -(s / 0.05).log_softmax(1)[:, 0].mean()
    return within - (direction @ direction.T / 0.1).log_softmax(1).diagonal().mean()


def gloria() -> Tensor:
    scores = [[test_late.attended(list(image), list(report)) for report in WORDS] for image in REGIONS]
    return two_ways(torch.stack([torch.stack(row) for row in scores]) / 0.1, equal(STUDY))


def densecl() -> Tensor:
    match, rows = cos(FEATURES1, FEATURES2).argmax(dim=2), []
    for i in range(N):
        for s in range(5):
            own = cos(CELLS1[i, s][None], CELLS2[i, match[i, s]][None])[0]
            rows.append(-torch.cat([own, cos(CELLS1[i, s][None], Z3)[0]]).div(0.2).log_softmax(0)[0])
    return torch.stack(rows).mean()


def pixpro() -> Tensor:
    smoothed = cos(CELLS1, CELLS1).clamp(min=0) ** 2 @ FEATURES1
    positive = torch.cdist(PLACES1, PLACES2) < 0.7
    rows = [cos(smoothed[i], CELLS2[i])[positive[i]].mean() for i in range(N) if positive[i].any()]
    return -torch.stack(rows).mean()


def swav() -> Tensor:
    total = 0
    for s, t in ((0, 1), (1, 0)):
        q = (SCORES[s] / 0.05).exp()
        for _ in range(3):
            q = q / q.sum(0, keepdim=True)
            q = q / q.sum(1, keepdim=True)
        total = total - (q * (SCORES[t] / 0.1).log_softmax(1)).sum(1).mean() / 2
    return total


def m3col() -> Tensor:
    total = 0
    for a, b, mixing in zip((IMAGE, TEXT, ECG), (TEXT, ECG, IMAGE), mixings(), strict=True):
        w = mixing.weights.double()[:, None]
        m = w * a + (1 - w) * a[mixing.permutation]
        share = w * EYE + (1 - w) * F.one_hot(mixing.permutation, N)
        scores = cos(m, b) / 0.1
        total = total - (share * (scores.log_softmax(1) + scores.log_softmax(0))).sum() / (2 * N)
    return total


def sepclr() -> Tensor:
    c, s = [F.normalize(x, dim=1) for x in (Z1, Z2)], (Z3, Z4)
    kept = [x * TARGET[:, None] for x in s]

    def uniform(a: Tensor) -> Tensor:
        return torch.pdist(a).square().neg().exp().mean().log()

    def information(a: Tensor, b: Tensor) -> Tensor:
        squares = sum((x[:, None] - x).square().sum(2) for x in (a, b))
        return squares.neg().exp().mean(1).log().mean()

    common = (c[0] - c[1]).square().sum(1).mean() + uniform(c[0]) + uniform(c[1])
    salient = (s[0] - s[1])[TARGET].square().sum(1).mean() + uniform(kept[0]) + uniform(kept[1])
    null = sum(x[~TARGET].square().sum(1).mean() for x in s) / 2
    return common + salient + 10 * null + 10 * sum(map(information, c, kept)) / 2


def supremix() -> Tensor:
    draws = torch.rand((2, N, 9), generator=seeded())
    return test_supremix.expected(Z1, Z2, targets=AGE, draws=draws.double(), window=5.0, temperature=0.3)


def more_than_once(text: Tensor) -> Tensor:
    """Identical reports of other studies are left out of both directions."""
    return ~(equal(text) & ~equal(STUDY))


def conr() -> Tensor:
    near, close = ((x[:, None] - x).abs() <= 5 for x in (AGE, PREDICTED))
    e, rows = (cos(Z1, Z1) / 0.07).exp(), []
    for i in range(N):
        own, wrong = near[i] & ~EYE[i], close[i] & ~near[i]
        loss = torch.zeros((), dtype=torch.float64)
        if own.any() and wrong.any():
            pushed = ((0.01 * (AGE[i] - AGE).abs()).exp() * e[i])[wrong].sum()
            loss = -(e[i][own] / (e[i][own].sum() + pushed)).log().mean()
        rows.append(loss)
    return torch.stack(rows).mean()


def m3col_soft() -> Tensor:
    total = 0
    for a, b in ((IMAGE, TEXT), (TEXT, ECG), (ECG, IMAGE)):
        weight, scores = (cos(b, b) / 0.125).softmax(1), cos(a, b) / 0.125
        total = total - (weight * (scores.log_softmax(1) + scores.T.log_softmax(1))).sum() / (2 * N)
    return total


def kernel_info_nce() -> Tensor:
    d = (2 - 2 * cos(Z1, Z2)).clamp(min=1e-12).sqrt()
    return (nce(-d / 0.1, EYE) + nce(-d.square() / 0.1, EYE)) / 2


def w_mse() -> Tensor:
    units = []
    for x in (Z1, Z2):
        x, covariance = x - x.mean(0), x.T.cov()
        ridge = 1e-3 * covariance.diagonal().mean() * torch.eye(D, dtype=x.dtype)
        units.append(F.normalize(x @ torch.linalg.inv(torch.linalg.cholesky(covariance + ridge)).T, dim=1))
    return (units[0] - units[1]).square().sum(1).mean()


def feature_transformation() -> Tensor:
    drawn, s = draw_transformation(N, generator=seeded()), cos(Z1, Z2)
    x, m, rows = drawn.extrapolation.double(), drawn.share.double(), []
    for i in range(N):
        own = ((s[i, i] - 2 * x * (x - 1) * (1 - s[i, i])) / 0.2).exp()
        below = own
        for j in (one for one in range(N) if one != i):
            partner = drawn.partners[j]
            mixed = s[i, j] if partner == i else m * s[i, j] + (1 - m) * s[i, partner]
            below = below + (mixed / 0.2).exp()
        rows.append(-(own / below).log())
    return torch.stack(rows).mean()


def poly_view_pairs() -> Tensor:
    """For each ordered pair of views of a sample, (N, 3, 3), the loss against all views of others."""
    # At half the temperature of the other losses of several views.
    e, losses = exponentials().square(), []
    for i in range(N):
        others = [e[:, i, :, j].sum(1) for j in range(N) if j != i]
        below = torch.stack(others).sum(0)[:, None]
        losses.append(-(e[:, i, :, i] / (e[:, i, :, i] + below)).log())
    return torch.stack(losses)


def poly_view_arithmetic() -> Tensor:
    apart = ~torch.eye(3, dtype=torch.bool)
    return -((-poly_view_pairs()).exp() * apart).sum(2).div(2).log().mean()


def poly_view_geometric() -> Tensor:
    apart = ~torch.eye(3, dtype=torch.bool)
    return poly_view_pairs()[:, apart].mean()


def poly_view_statistics() -> Tensor:
    u = F.normalize(torch.stack([Z1, Z2, Z3]), dim=2)
    return torch.stack([nce(cos(u[a], u.sum(0) - u[a]) / 0.1, EYE) for a in range(3)]).mean()


FORMULAS: dict[str, Callable[[], Tensor]] = {
    "SimCLR, NT-Xent": lambda: views(twice(SAMPLE)),
    "SupCon, log outside": lambda: views(twice(LABEL)),
    "SupCon, log inside": lambda: views(twice(LABEL), inside=True),
    "CLOCS": lambda: by_loops.identity(Z1, Z2, PATIENT, 0.1, diagonal=True),
    "COMET, patient and trial": lambda: by_loops.identity(DENSE1, DENSE2, TRIAL, 0.1, diagonal=False),
    "COMET, sample and observation; TS2Vec": lambda: sum(
        by_loops.hierarchical(DENSE1, DENSE2, level) for level in ("sample", "observation")
    ),
    "COMET pooled, all levels in one pass": lambda: views(twice(PATIENT)) + views(twice(LABEL)),
    "ConVIRT": lambda: two_ways(cos(IMAGE, TEXT) / 0.1, equal(STUDY), weight=0.75),
    "CLIP; MoRE, a sum of two": lambda: (
        two_ways(cos(TEXT, IMAGE) / 0.1, equal(STUDY)) + two_ways(cos(TEXT, ECG) / 0.1, equal(STUDY))
    ),
    "identical reports are no negatives": lambda: two_ways(
        cos(IMAGE, TEXT) / 0.1, equal(STUDY), more_than_once(TEXT_HASH)
    ),
    "MoCo": moco,
    "Chaitanya G^D-": lambda: own_denominator(
        cos(Z, Z) / 0.1, twice(SLICES) & ~torch.eye(2 * N, dtype=torch.bool), ~twice(PARTITIONS)
    ),
    "Chaitanya G^D": g_d,
    "Chaitanya, local": local,
    "PCL": pcl,
    "y-aware": y_aware,
    "SupReMix": supremix,
    "ConR": conr,
    "CoSENT": lambda: test_cosent.loops(Z1, Z2, kernel_of_ages(), torch.zeros(N, N), 0.05),
    "GML": lambda: test_gml.pair_by_pair(Z, LABEL.repeat(2), PRIOR, WIDTHS),
    "Temporal-SCL": temporal_scl,
    "CWCL": cwcl,
    "DCL": dcl,
    "DCLW": lambda: dcl(0.5),
    "CLOOB": cloob,
    "SigLIP": siglip,
    "debiased": lambda: hard_negatives(0.0),
    "hard negatives (HCL)": lambda: hard_negatives(1.0),
    "MoCHi": mochi,
    "feature transformation": feature_transformation,
    "Kernel-InfoNCE": kernel_info_nce,
    "W-MSE": w_mse,
    "focal": focal,
    "alignment and uniformity": lambda: aligned(Z1, Z2, EYE) + (spread(Z1, Z1) + spread(Z2, Z2)) / 2,
    "CLIP without the gap": without_gap,
    "CACR": cacr,
    "Mann-Whitney, AUC": auc,
    "GroCo": groco,
    "MACL": macl,
    "iSogCLR": isogclr,
    "MV-InfoNCE": mv_infonce,
    "MV-DHEL": mv_dhel,
    "Poly-View, geometric": poly_view_geometric,
    "Poly-View, arithmetic": poly_view_arithmetic,
    "Poly-View, sufficient statistics": poly_view_statistics,
    "Symile": symile,
    "GRAM": gram,
    "PMRL": pmrl,
    "GLoRIA": gloria,
    "SPARC": lambda: (
        two_ways(cos(IMAGE, TEXT) / 0.1, equal(STUDY))
        + test_sparc.reference(REGIONS, WORDS, temperature=0.1, masks=False)
    ),
    "DenseCL": densecl,
    "PixPro": pixpro,
    "SlotCon": lambda: test_slotcon.loops(CELLS1, CELLS2, PROTOTYPES, torch.cdist(PLACES1, PLACES2) < 0.7),
    "SwAV": swav,
    "OBoW": lambda: test_obow.loops(Z1, Z2, words=test_obow.described(CELLS2, VOCABULARY, 10.0, 1.0)[0]),
    "M3CoL, first phase": m3col,
    "M3CoL, second phase": m3col_soft,
    "DeGLA, its own negatives": lambda: nce(
        torch.stack([(unit(IMAGE) * unit(one)).sum(1) for one in (TEXT, Z3, Z4)], dim=1) / 0.07,
        torch.tensor([True, False, False]).expand(N, 3),
    ),
    "SepCLR": sepclr,
    "speech from brain recordings": lambda: nce(Z1 @ F.normalize(Z2, dim=1).T, EYE),
}


def test_every_line_of_the_table_has_a_formula() -> None:
    assert list(METHODS) == list(FORMULAS)
    assert len(METHODS) > 40


@pytest.mark.parametrize("method", FORMULAS)
def test_a_line_of_the_table_is_the_loss_of_its_paper(method: str) -> None:
    found = eval(METHODS[method], names(method))  # noqa: S307 - the page is ours

    torch.testing.assert_close(found.double(), FORMULAS[method](), rtol=2e-5, atol=2e-5)
