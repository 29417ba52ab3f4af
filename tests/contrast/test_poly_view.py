"""The recipe `poly_view` is Poly-View's geometric mean (Shidani et al., ICLR 2024), by its formula."""

import torch
from torch.nn import functional as F

from medcl.contrast import info_nce, itself, same

VIEWS, SAMPLES, TEMPERATURE = 4, 5, 0.1


def test_the_denominator_of_a_view_holds_one_view_of_its_sample_and_all_of_others() -> None:
    z = F.normalize(torch.randn(VIEWS, SAMPLES, 8, dtype=torch.float64), dim=-1)
    terms = []
    for i in range(SAMPLES):
        others = [z[c, j] for j in range(SAMPLES) if j != i for c in range(VIEWS)]
        for a in range(VIEWS):
            for b in (one for one in range(VIEWS) if one != a):
                own = (z[a, i] @ z[b, i] / TEMPERATURE).exp()
                negatives = torch.stack([(z[a, i] @ other / TEMPERATURE).exp() for other in others]).sum()
                terms.append(-(own / (own + negatives)).log())
    rows = z.reshape(VIEWS * SAMPLES, -1)
    pairing = same(torch.arange(SAMPLES).repeat(VIEWS)).without(itself(rows))
    found = info_nce(rows, rows, pairing, temperature=TEMPERATURE, denominator="own")
    torch.testing.assert_close(found, torch.stack(terms).mean())
