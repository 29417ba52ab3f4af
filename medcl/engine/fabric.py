"""Lightning Fabric, imported in less than half the time.

`lightning_fabric` is the same code as `lightning.fabric`, without Lightning's trainer, and comes with it.
"""

import sys
from importlib.metadata import version
from types import ModuleType

if "torchmetrics" in sys.modules:
    from lightning_fabric import Fabric
else:
    # Fabric asks torchmetrics for its version and for nothing else. Torchmetrics itself, which whoever needs it imports
    # later as ever, would import transformers, matplotlib and scipy.signal: half of the time that a training starts in.
    sys.modules["torchmetrics"] = ModuleType("torchmetrics")
    sys.modules["torchmetrics"].__dict__["__version__"] = version("torchmetrics")
    try:
        from lightning_fabric import Fabric
    finally:
        del sys.modules["torchmetrics"]

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.apply_func import move_data_to_device

__all__ = ["Fabric", "LightningEnvironment", "move_data_to_device"]
