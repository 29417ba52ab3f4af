"""What a network starts from."""

from typing import Literal

Init = Literal["pretrained", "random"]
