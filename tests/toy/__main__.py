"""Train recipes on images of shapes with several seeds, and print them beside those that they are compared with."""

import argparse
import json
import tempfile
from pathlib import Path

import torch

from tests import toy
from tests.toy.table import Values, lines

SEEDS = 5


def main() -> None:
    """Train and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    names = f"of {', '.join(toy.ARMS)}, or names of recipes; default: all that are compared with CLIP"
    asked.add_argument("arms", nargs="*", default=toy.BESIDE_CLIP, help=names)
    asked.add_argument("--steps", type=int, default=toy.STEPS)
    asked.add_argument("--seeds", type=int, default=SEEDS)
    asked.add_argument("--patients", type=int, default=toy.PATIENTS)
    asked.add_argument("--sites", action="store_true")
    asked.add_argument(
        "--keep", type=Path, help="JSON of the values by arm and seed; what is in it is not trained again"
    )
    asked.add_argument("--most", type=int, default=0, help="trainings after which to stop; 0 for all")
    given = asked.parse_args()
    torch.set_num_threads(1)
    known: Values = {}
    if given.keep and given.keep.exists():
        known = json.loads(given.keep.read_text())
    wanted = [(arm, seed) for seed in range(given.seeds) for arm in given.arms if str(seed) not in known.get(arm, {})]
    with tempfile.TemporaryDirectory() as place:
        made = toy.written(Path(place), given.patients, sites=given.sites)
        for name, seed in wanted[: given.most or None]:
            folder = toy.trained(made, toy.arm_of(name), Path(place) / f"{name}-{seed}", steps=given.steps, seed=seed)
            known.setdefault(name, {})[str(seed)] = toy.measured(made, folder)
            if given.keep:
                given.keep.write_text(json.dumps(known))
    done = [name for name in given.arms if name in known]
    print("\n".join(lines({name: known[name] for name in done}, {name: toy.arm_of(name).beside for name in done})))


if __name__ == "__main__":
    main()
