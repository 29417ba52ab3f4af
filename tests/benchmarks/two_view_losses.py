"""NT-Xent of N views (two of each of N / 2 samples), forward and backward, as written by several libraries.

A script, since peak memory is that of a process: prints seconds and peak memory beyond the embeddings as JSON. With no
arguments it prints the table of the documentation.
"""

import ctypes
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

DIM, TEMPERATURE = 128, 0.1
THREADS = 1
"""One core each, so that nobody waits for a second one that another program is using."""
MB = 2**20
ROOT = Path(__file__).parents[2]
Loss = Callable[[Tensor, Tensor], Tensor]


def medcl(z1: Tensor, z2: Tensor, block: int | None) -> Tensor:
    from medcl.contrast import info_nce_views

    return info_nce_views(z1, z2, torch.arange(len(z1)), temperature=TEMPERATURE, block=block)


def plain(z1: Tensor, z2: Tensor) -> Tensor:
    """As one would write it in a notebook."""
    n = len(z1)
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    scores = z @ z.T / TEMPERATURE
    scores.fill_diagonal_(-torch.inf)
    return F.cross_entropy(scores, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


def monai(z1: Tensor, z2: Tensor) -> Tensor:
    from monai.losses import ContrastiveLoss

    return ContrastiveLoss(temperature=TEMPERATURE)(z1, z2)


def metric_learning(z1: Tensor, z2: Tensor) -> Tensor:
    from pytorch_metric_learning.losses import NTXentLoss

    ids = torch.arange(len(z1))
    return NTXentLoss(temperature=TEMPERATURE)(torch.cat([z1, z2]), torch.cat([ids, ids]))


LOSSES: dict[str, Loss] = {
    "medcl, blockwise": partial(medcl, block=None),
    "medcl, one block": partial(medcl, block=2**31),
    "plain torch": plain,
    "monai ContrastiveLoss": monai,
    "pytorch-metric-learning NTXentLoss": metric_learning,
}


OURS_AND_PLAIN = ("medcl, blockwise", "medcl, one block", "plain torch")


def views(n: int) -> tuple[Tensor, Tensor]:
    """Two views of n / 2 samples, (n / 2, 128) each, that resemble one another."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(n // 2, DIM, generator=generator)
    second = first + torch.randn(n // 2, DIM, generator=generator)
    return first.requires_grad_(), second.requires_grad_()


def seconds(loss: Loss, n: int) -> tuple[float, float]:
    """Processor time of one forward and backward pass on one core, and the value."""
    z1, z2 = views(n)
    begun = time.process_time()
    value = loss(z1, z2)
    value.backward()
    return time.process_time() - begun, float(value.detach())


def peak() -> int:
    """Bytes of memory that the process has had at most since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024


def reset_peak() -> int:
    """Give back what is free, forget the peak; returns the memory of now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def measure(name: str, n: int, repeats: int, limit: int) -> dict[str, float]:
    """Measure in this process, under a limit of memory in bytes."""
    torch.set_num_threads(THREADS)
    loss = LOSSES[name]
    # Code that is loaded on first use is no memory of the loss: large enough for several blocks, small for the others.
    seconds(loss, 2048 if name in OURS_AND_PLAIN else 64)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    before = reset_peak()
    first, value = seconds(loss, n)
    extra = peak() - before
    times = [first, *(seconds(loss, n)[0] for _ in range(repeats - 1))]
    return {"seconds": min(times), "megabytes": extra / MB, "value": value}


def in_a_process(
    name: str, n: int, *, repeats: int = 1, limit: int = 20 * 2**30, wait: float = 600
) -> dict[str, float]:
    """Measure in a fresh process.

    Raises:
        MemoryError: it asked for more than the limit.
        subprocess.TimeoutExpired: it took longer than `wait` seconds.
    """
    words = [sys.executable, "-m", "tests.benchmarks.two_view_losses", name, str(n), str(repeats), str(limit)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=wait, check=False, cwd=ROOT)
    if done.returncode:
        raise MemoryError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(sizes: tuple[int, ...] = (256, 1024, 4096, 16384, 65536)) -> str:
    """Seconds and megabytes of every loss at every size, as Markdown."""
    lines = [f"| | {' | '.join(f'N = {n:,}' for n in sizes)} |", f"|---|{'--:|' * len(sizes)}"]
    for name in LOSSES:
        cells, failed = [], ""
        for n in sizes:
            if not failed:
                try:
                    found = in_a_process(name, n, repeats=3 if n <= 4096 else 1)
                    cells.append(f"{found['seconds']:.3g} s, {found['megabytes']:,.0f} MB")
                    continue
                except (MemoryError, subprocess.TimeoutExpired) as error:
                    failed = "over 20 GB" if isinstance(error, MemoryError) else "over 10 min"
                    cells.append(failed)
                    continue
            cells.append("")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(table())
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
