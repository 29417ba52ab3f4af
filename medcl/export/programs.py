"""Networks as programs that need no code of ours: ONNX, and torch.export."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medcl.errors import MedclError, UsageError, not_installed
from medcl.export.taken import Taken

ONNX, TORCH, TRACED = "model.onnx", "model.pt2", "model.ts"
Runs = Callable[[Tensor], Tensor]
"""An exported network, opened again."""


def write_onnx(folder: Path, taken: Taken) -> Runs:
    """Write `model.onnx` and open it by onnxruntime.

    Raises:
        UsageError: onnx, onnxscript or onnxruntime is not installed.
        MedclError: the network cannot be exported.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(not_installed(error.name or "onnx", "--to onnx")) from error
    path = folder / ONNX
    program = exported(taken)
    with _quiet():
        try:
            names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
            torch.onnx.export(program, (), str(path), dynamo=True, external_data=False, verbose=False, **names)
        except Exception as error:
            raise MedclError(
                f"{taken.source}: its network cannot be written as ONNX ({type(error).__name__}): --to torch may do"
            ) from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def write_torch(folder: Path, taken: Taken) -> tuple[str, Runs]:
    """Write `model.pt2` by torch.export, and open it again; its name, and what it does.

    A network that torch.export cannot follow is traced instead (`model.ts`), for the shape that it was traced with.
    """
    try:
        program = exported(taken)
    except MedclError:
        with _quiet():
            script: Any = torch.jit
            script.trace(taken.network, taken.examples()[0]).save(str(folder / TRACED))
            return TRACED, script.load(str(folder / TRACED))
    with _quiet():
        torch.export.save(program, str(folder / TORCH))
        loaded: Runs = torch.export.load(str(folder / TORCH)).module()
    return TORCH, loaded


def exported(taken: Taken) -> torch.export.ExportedProgram:
    """The network as torch.export has it, for any number of samples.

    Raises:
        MedclError: it cannot be exported.
    """
    x = taken.examples()[0]
    free = {axis: torch.export.Dim.DYNAMIC for axis in (0, *taken.preprocessing.varying)}
    with _quiet(), torch.no_grad():
        try:
            return torch.export.export(_plain(taken.network), (x,), dynamic_shapes=(free,))
        except Exception as error:
            raise MedclError(
                f"{taken.source}: torch.export cannot follow its network ({type(error).__name__})"
            ) from error


def _plain(network: nn.Module) -> nn.Module:
    for one in network.parameters():
        one.requires_grad_(False)
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters speak of their own inner matters; attention is computed by its plain formula meanwhile."""
    level, fast = logging.root.manager.disable, torch.backends.mha.get_fastpath_enabled()
    logging.disable(logging.ERROR)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        torch.backends.mha.set_fastpath_enabled(fast)
