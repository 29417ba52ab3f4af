"""How the time of a piece of work grows with its size, on whatever machine and beside whatever else runs there."""

import time
from collections.abc import Callable

LINEAR = 8
"""Between 4 and 16, what work that grows with the size and with its square takes for 4 times the size."""


def growth(work: Callable[[int], object], size: int) -> float:
    """How many times the processor time of a size 4 times the size takes; the least of three measures of each."""
    work(1)
    least = []
    for number in (size, 4 * size):
        measured = []
        for _ in range(3):
            start = time.process_time()
            work(number)
            measured.append(time.process_time() - start)
        least.append(min(measured))
    return least[1] / least[0]
