"""Arrays as they lie in a page: base64, decoded by the browser only when they are needed."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_KINDS = {"f4": "Float32Array", "i4": "Int32Array", "i2": "Int16Array", "i1": "Int8Array"}


class Blocks:
    """What a page holds beside its text, block by block; `explore.js` reads it by number.

    A list of 200,000 numbers in JSON takes a browser seconds; base64 is decoded in milliseconds, and a third larger
    than the bytes.
    """

    def __init__(self) -> None:
        self.content: list[str] = []

    def array(self, values: NDArray[Any], dtype: DTypeLike | None = None) -> dict[str, Any]:
        """An array of any shape, row by row, little-endian.

        Args:
            values: float32 or signed integers of 8, 16 or 32 bits.
            dtype: to convert to.

        Returns:
            What names it: number of the block and the browser's type.
        """
        plain = np.ascontiguousarray(values, dtype)
        kind = plain.dtype.str[1:]
        return {"block": self._add(plain.astype(f"<{kind}").tobytes()), "type": _KINDS[kind]}

    def text(self, lines: Sequence[str]) -> dict[str, Any]:
        """Lines of text; a line break in one becomes a space."""
        return {"block": self._add("\n".join(" ".join(line.splitlines()) for line in lines).encode())}

    def json(self, value: object) -> dict[str, Any]:
        """Anything that JSON can say, as it is: pictures in it are base64 already."""
        # The only sign that could end the block.
        self.content.append(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))
        return {"block": len(self.content) - 1}

    def _add(self, content: bytes) -> int:
        self.content.append(base64.b64encode(content).decode("ascii"))
        return len(self.content) - 1
