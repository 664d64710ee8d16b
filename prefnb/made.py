"""What comes ready-made with the package, in data/made: policies that take longer than a learner should wait, and the
answers that the notebooks compare. `make made` makes them again.

Everything here is an ordinary entry of the cache, made by the recipes and the notebooks at their defaults; with other
parameters, or after an edit to the code that makes it, an entry is not used. Policies that nothing else starts from are
kept in half precision, two bytes a weight, with the answers that they gave before.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from prefnb import course, files, methods, models, parameters
from prefnb.book import NOTEBOOKS
from prefnb.cache import MADE
from prefnb.course.settings import Judging

# recipe, what differs from its defaults
POLICIES = (
    ("sft", {}),
    ("dpo", {}),
    ("reward_model", {}),
    ("rloo", {}),
    ("rloo", {"reward": "proxy", "kl_weight": 0.0}),
    ("grpo", {}),
    ("multi_objective", {}),
    ("multi_objective", {"baseline": "none"}),
)
WHOLE = ("sft", "reward_model")  # others start from these: to the last bit
LEFT_OUT = ("reference", "unfinished")  # kinds of entries that are quickly made again


def main() -> None:
    """Make all of it anew; what was there before comes back if that fails."""
    before = MADE.with_name(f"{MADE.name}.before")
    if MADE.exists():
        os.replace(MADE, before)
    try:
        make(MADE)
    except BaseException:
        shutil.rmtree(MADE, ignore_errors=True)
        if before.exists():
            os.replace(before, MADE)
        raise
    shutil.rmtree(before, ignore_errors=True)


def make(shelf: Path) -> None:
    """Fill an empty shelf: the recipes' policies first, then what each notebook adds."""
    environment = {**os.environ, "PREFNB_CACHE": str(shelf)}
    run = lambda *words: subprocess.run([sys.executable, *words], check=True, env=environment)  # noqa: E731
    run("-c", "from prefnb import made; made.policies()")
    with tempfile.TemporaryDirectory() as desk:
        for notebook in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
            print(f"executing {notebook.stem} ...", flush=True)
            quiet = ("--log-level", "WARNING", "--no-progress-bar", "--cwd", desk)
            run("-m", "papermill", *quiet, str(notebook), str(Path(desk) / notebook.name))
    keep(shelf)


def policies() -> None:
    """Train what several notebooks begin with, and let every policy answer the test prompts."""
    made = {(name, *given.items()): getattr(methods, name).recipe(**given) for name, given in POLICIES}
    sft = made["sft",]
    answering = {"base": models.load_model("pocket"), "SFT": sft.model}
    answering |= {str(key): one.model for key, one in made.items() if key[0] != "reward_model"}
    course.compare(answering, sft.tokenizer, parameters.check({}, Judging))


def keep(shelf: Path) -> None:
    """Leave on the shelf what is shipped, policies that nothing starts from in half precision."""
    for entry in sorted(shelf.iterdir()):
        kind = entry.name.rpartition("-")[0]
        if not entry.is_dir():
            entry.unlink()
        elif kind.split("-")[0] in LEFT_OUT:
            shutil.rmtree(entry)
        elif kind not in WHOLE and (entry / "model.safetensors").is_file():
            halve(entry)


def halve(entry: Path) -> None:
    """Write an entry's weights at two bytes each, and its checksums anew."""
    weights = entry / "model.safetensors"
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    save_file({name: value.to(torch.float16) for name, value in load_file(weights).items()}, weights, metadata=metadata)
    about = json.loads((entry / files.ENTRY).read_text(encoding="utf-8"))
    about["sha256"]["model.safetensors"] = files.file_digest(weights)
    files.write_json(entry / files.ENTRY, about)


if __name__ == "__main__":
    main()
