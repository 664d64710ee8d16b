"""Trained policies, kept in the cache under all that they depend on; an interrupted training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import torch
from transformers import PreTrainedTokenizerBase

from prefnb import models, pocket
from prefnb.cache import cache_folder, cached, digest, entry
from prefnb.course.settings import DataTraining, Training
from prefnb.files import file_digest
from prefnb.processes import processes
from prefnb.source import code_of
from prefnb.training import History
from prefnb.training.unfinished import forget


@dataclass
class Trained:
    """A trained policy with what it took: `model`, `tokenizer`, `history`."""

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    history: History


def loop(p: DataTraining) -> dict:
    """What `train` takes from a method's settings."""
    return dict(epochs=p.epochs, learning_rate=p.learning_rate, schedule=p.schedule)


def with_checkpointing(model: torch.nn.Module, p: Training) -> torch.nn.Module:
    """The same model; with `p.gradient_checkpointing` it keeps only each layer's input while it is in training mode,
    and computes the rest again in the backward pass."""
    if p.gradient_checkpointing:
        # transformers 5 renames `gradient_checkpointing_enable` on its way.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    return model


def trained(name: str, p: Training, make: Callable[[], Trained], load_model: Callable = models.load_model) -> Trained:
    """What `make()` trains, from the cache if this recipe has been made with these settings and files before."""

    def save(made: Trained, folder: Path) -> None:
        made.model.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
        made.history.save(folder / "history.json")

    def load(folder: Path) -> Trained:
        return Trained(
            load_model(str(folder)), models.load_tokenizer(str(folder)), History.load(folder / "history.json")
        )

    key = _key(name, p)
    made = cached(name, key, make, save, load)
    if entry(name, key).is_dir() and processes().is_main_process:  # else the disk is full: the state stays
        forget(unfinished(name, p))
    return made


def _key(name: str, p: Training) -> dict:
    """All that the result depends on: not where it is written, nor what only saves memory."""
    given = {k: v for k, v in vars(p).items() if k not in ("output_dir", "gradient_checkpointing")}
    return {"recipe": name, **given, "files": digest(_files(p)), "code": code_of(f"prefnb.methods.{name}.recipe")}


def _files(p: Training) -> dict:
    """Hashes of the local files that the settings name, by their paths below it, so that a changed file is another
    key. Of a model's folder, those that a model is loaded from: at its top, and no data that lie beside it."""
    found = {}
    for name in p.named_files():
        path = Path(name).expanduser()
        if name == "pocket":
            path, files = pocket.DATA, [*pocket.DATA.glob("*.gz"), *pocket.DATA.glob("base_model/*")]
        else:
            files = [path] if path.is_file() else models.files_of(path) if path.is_dir() else []
        try:
            found |= {f"{name}:{file.relative_to(path).as_posix()}": file_digest(file) for file in sorted(files)}
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read ({error.strerror}).") from None
    return found


def unfinished(name: str, p: Training) -> Path:
    """Where an interrupted run of this recipe is kept, to go on from."""
    return cache_folder() / f"unfinished-{name}-{digest(_key(name, p))}"
