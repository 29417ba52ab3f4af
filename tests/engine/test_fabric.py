"""Fabric without the packages that only its import would load."""

import subprocess
import sys

SCRIPT = """
import sys
from medcl.engine.fabric import Fabric
print(sorted(sys.modules.keys() & {"torchmetrics", "transformers", "matplotlib", "lightning"}))
from torchmetrics import Metric
print(Metric.__name__, Fabric(accelerator="cpu", devices=1).world_size)
"""


def test_fabric_loads_no_metrics_and_leaves_them_to_others() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "Metric 1"]
