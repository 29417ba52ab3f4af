"""Where the numbers of a run go besides metrics.csv and TensorBoard: Weights & Biases or MLflow, if asked for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from medcl.errors import UsageError, not_installed

LoggerName = Literal["none", "wandb", "mlflow"]


@contextmanager
def loggers(name: LoggerName, folder: Path) -> Iterator[list[Any]]:
    """The loggers of Lightning that are asked for; what they hold is written when the block ends.

    Nothing but losses and measures is logged, under the names that the recipe gives them: no identifiers, paths or
    texts of records, and neither code nor what is printed. They write into the run folder and send nothing, unless
    WANDB_MODE is `online`, or MLFLOW_TRACKING_URI names a server.

    Raises:
        UsageError: the package is not installed; says what installs it.
    """
    if name == "none":
        yield []
        return
    if find_spec(name) is None:
        raise UsageError(not_installed(name, f"--logger {name}"))
    made = _wandb(folder) if name == "wandb" else _mlflow(folder)
    status = "failed"
    try:
        yield [made]
        status = "success"
    finally:
        made.finalize(status)
        if name == "wandb":
            import wandb

            # Else the next run of this process would go on with it; its own process then writes what it has.
            wandb.teardown(exit_code=0 if status == "success" else 1)


def _wandb(folder: Path) -> Any:
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    # Console, code, git and machine would tell paths, arguments and names.
    quiet = wandb.Settings(
        console="off", disable_code=True, disable_git=True, save_code=False, silent=True, x_disable_meta=True
    )
    offline = os.environ.get("WANDB_MODE", "offline") != "online"
    return WandbLogger(name=folder.name, project="medcl", save_dir=folder, offline=offline, settings=quiet)


def _mlflow(folder: Path) -> Any:
    from pytorch_lightning.loggers import MLFlowLogger

    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not store:
        store = f"file:{folder.absolute() / 'mlruns'}"
        # Newer releases ask for a data base, which mlflow-skinny has none of.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    return MLFlowLogger("medcl", run_name=folder.name, tracking_uri=store)
