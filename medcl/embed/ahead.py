"""Make what comes next in a thread, while what is here is worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_LOOK = 0.1  # seconds after which a thread that waits looks whether it is still wanted


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_END = object()


def ahead(items: Iterable[T], count: int = 2) -> Iterator[T]:
    """Yield items that a thread makes ahead, in their order.

    Args:
        items: what makes them; it runs in the thread.
        count: items that wait at most: memory does not grow with their number.

    Yields:
        The items. What the thread raises is raised here, behind the items that it made before.
    """
    waiting: queue.Queue[object] = queue.Queue(maxsize=count)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:  # noqa: BLE001  (raised again where the items are taken)
            put(_Failed(error))
        else:
            put(_END)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
