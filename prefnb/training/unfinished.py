"""The unfinished run: what is kept of a training on disk, so that a kill costs seconds, and the end is bit for bit that
of an undisturbed run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from safetensors import SafetensorError, safe_open
from torch.distributed.tensor import DTensor, distribute_tensor

from prefnb.files import reason, save_file, set_aside
from prefnb.training.history import History

FILE = "unfinished.safetensors"
COST = 0.05  # the share of the time that writing may take


class Unfinished:
    """The state of a run in `folder`: weights, Adam's moments and the history, in one file with a checksum.

    Every process takes part, since each may hold a part of the weights; the main one writes.
    """

    def __init__(self, folder: str | Path, accelerator: Accelerator, every: int, seconds: float):
        self.path, self.accelerator = Path(folder) / FILE, accelerator
        self.every, self.seconds = every, seconds
        self.step, self.time, self.took, self.failed = 0, time.monotonic(), 0.0, False

    def due(self, step: int) -> bool:
        """Is it time to keep the run, after `every` steps or after `seconds`, whichever is first? The latter not so
        often that writing would take more than its share of the time."""
        waited = time.monotonic() - self.time
        due = step - self.step >= self.every or waited >= max(self.seconds, self.took / COST)
        if self.accelerator.num_processes == 1:
            return due
        return bool(broadcast(torch.tensor(int(due), device=self.accelerator.device)))  # the main process's clock

    def keep(self, policy: torch.nn.Module, optimizer: torch.optim.Optimizer, history: History) -> None:
        """Write the state, whole or not at all. A disk that is full does not end the training: it is said, once."""
        started, tensors = time.monotonic(), {}
        for name, parameter in policy.named_parameters():
            tensors[f"weight.{name}"] = whole(parameter)
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = whole(value)
        if self.accelerator.is_main_process:
            try:
                _write(self.path, tensors, json.dumps(vars(history)))
            except (OSError, SafetensorError) as error:
                if not self.failed:
                    print(
                        f"The unfinished run cannot be kept in {self.path.parent} ({reason(error)}). Training goes on; "
                        "if it is interrupted, its steps are lost."
                    )
                self.failed = True
        self.step, self.time = len(history.rows), time.monotonic()
        self.took = self.time - started

    def resume(self, policy: torch.nn.Module, optimizer: torch.optim.Optimizer, history: History) -> int:
        """Load what `keep` wrote, if anything; returns the number of steps done. A damaged file is set aside."""
        found = None
        if self.accelerator.is_main_process and self.path.exists():
            try:
                found = _read(self.path, policy)
            except Exception as error:  # whatever is wrong with it, training can start afresh
                self._set_aside(error)
        self.accelerator.wait_for_everyone()
        if not self.path.exists():
            return 0
        tensors, seen = found or _read(self.path, policy)
        names = {parameter: name for name, parameter in policy.named_parameters()}
        for parameter, name in names.items():
            parameter.data.copy_(_like(tensors[f"weight.{name}"], parameter))
        learnt = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moments = {
            number: {
                "step": tensors[f"step.{names[parameter]}"],
                "exp_avg": _like(tensors[f"exp_avg.{names[parameter]}"], parameter),
                "exp_avg_sq": _like(tensors[f"exp_avg_sq.{names[parameter]}"], parameter),
            }
            for number, parameter in enumerate(learnt)
        }
        # The optimiser's own way puts each where it must be: a fused Adam wants its step on the GPU.
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        vars(history).update(seen)
        self.step = len(history.rows)
        print(f"Going on after step {self.step} of an interrupted run.")
        return self.step

    def _set_aside(self, error: Exception) -> None:
        """Out of the way, and never removed: what is left of a long run is the user's to look at."""
        told = f"The unfinished run in {self.path.parent} is damaged ({reason(error)});"
        try:
            print(f"{told} it was set aside as {set_aside(self.path).name} and training starts afresh.")
        except FileNotFoundError:  # another process has just done it
            print(f"{told} it has been set aside, and training starts afresh.")


def forget(folder: str | Path) -> None:
    """Remove the unfinished runs in `folder` and the folders in it, and these if nothing else is there: what was set
    aside stays."""
    for path in [*Path(folder).rglob(FILE), *Path(folder).rglob(f"{FILE}.part")]:
        path.unlink(missing_ok=True)
    for path in [*sorted(Path(folder).rglob("*/"), reverse=True), Path(folder)]:
        with contextlib.suppress(OSError):
            path.rmdir()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor of which FSDP has left every process a part; all processes must ask together."""
    return tensor.detach().full_tensor() if isinstance(tensor, DTensor) else tensor.detach()


def _write(path: Path, tensors: dict[str, torch.Tensor], history: str) -> None:
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(f"{path}.part")
    try:
        save_file(tensors, part, metadata={"history": history, "sha256": _digest(tensors, history)})
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _read(path: Path, policy) -> tuple[dict[str, torch.Tensor], dict]:
    """(tensors, history) as they were written, for exactly this policy; ValueError or whatever safetensors raises."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    if metadata.get("sha256") != _digest(tensors, metadata.get("history", "")):
        raise ValueError("it has changed since it was written")
    kinds = ("weight", "step", "exp_avg", "exp_avg_sq")
    expected = {f"{kind}.{name}" for kind in kinds for name, _ in policy.named_parameters()}
    if expected - set(tensors):
        raise ValueError(f"it lacks {min(expected - set(tensors))}")
    return tensors, json.loads(metadata["history"])


def _digest(tensors: dict[str, torch.Tensor], history: str) -> str:
    """A checksum of all that is kept: names, types, shapes, bytes."""
    digest = hashlib.sha256(history.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A whole tensor where the parameter is, and in parts if the parameter is."""
    tensor = tensor.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
