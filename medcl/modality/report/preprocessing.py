"""What goes with an encoder of reports that is taken away."""

import json

import numpy as np
import torch
from torch import Tensor

from medcl.modality.preprocessing import Preprocessing
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.spec import TextCard


def preprocessing(spec: TextCard) -> Preprocessing:
    """See `Wing.preprocessing`. The tokenizer goes as the file `tokenizer.json` of the package `tokenizers`."""
    tokenizer = Tokenizer.from_json(spec.tokenizer)
    settings = {
        "modality": "report",
        "sections": list(spec.data["sections"]),
        "length": spec.data["length"],
        "padding": tokenizer.padding,
    }

    def example(rng: np.random.Generator, count: int) -> Tensor:
        """Token ids (n, L) of lengths that differ, 0 behind the end of each."""
        words = np.setdiff1d(np.arange(tokenizer.size), tokenizer.special)
        longest = max(4, spec.data["length"] // 2)
        ids = rng.choice(words, (count, longest))
        return torch.from_numpy(np.where(np.arange(longest) < rng.integers(3, longest + 1, (count, 1)), ids, 0))

    inner = json.dumps(json.loads(tokenizer.to_json())["tokenizer"], ensure_ascii=False)
    return Preprocessing(
        settings, __file__, example, ("tokens",), (1,), {"tokenizer.json": inner}, packages=("tokenizers",)
    )
