"""`make edited`: a reader's first edit, of the loss, in every notebook that shows one; each must run on to its end.

    python edited.py [NAME ...] [--folder FOLDER]

The notebooks are executed on few pairs and prompts. 02 is among the unit tests too (test_edited.py).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from notebook_source import NOTEBOOKS

FEW = {"test_prompts": 20, "draws": 1}
PAIRS = {**FEW, "pairs": 64}
STEPS = {**FEW, "steps": 2, "live_steps": 2}
# Of every notebook: what the edit replaces, by what, and the parameters that make the run short.
EDITS = {
    "01_sft": ("    return -logp, {", "    return logp**2 / 10, {",
               {**FEW, "dialogs": 64, "length_steps": 3, "small_epochs": 1, "monitor_prompts": 10}),
    "02_dpo": ("    loss = -logsigmoid(margin)\n", "    loss = torch.relu(1 - margin)\n", PAIRS),
    "03_simpo": ("    loss = -logsigmoid(margin - gamma)\n", "    loss = torch.relu(gamma - margin)\n", PAIRS),
    "04_dppo": ("    loss = dpo_loss = -logsigmoid(margin)\n", "    loss = dpo_loss = torch.relu(1 - margin)\n", PAIRS),
    "05_reward_model": ("    return -logsigmoid(margin), {", "    return torch.relu(1 - margin), {",
                        {**PAIRS, "pairs_in_view": 64, "held_out": 20, "samples": 5}),
    "06_rs_dpo": ("    return -logsigmoid(reward_chosen - reward_rejected), ", "    return (1 - reward_chosen + reward_rejected).relu(), ",
                  PAIRS),
    "07_self_improvement": ("    return -logsigmoid(reward_chosen - reward_rejected), ",
                            "    return (1 - reward_chosen + reward_rejected).relu(), ",
                            {**PAIRS, "rounds": 1, "prompts": 8, "scout_prompts": 20}),
    "08_multi_objective": ("    loss, metrics = -advantage * policy.sample.sum,", "    loss, metrics = -advantage * policy.sample.mean,",
                           {**STEPS, "choice_prompts": 20, "choice_samples": 2, "pairs": 64}),
    "09_rloo": ("    loss = -advantage * policy.sample.sum\n", "    loss = -advantage * policy.sample.mean\n",
                {**STEPS, "variance_prompts": 2, "variance_samples": 8}),
    "10_grpo": ("    per_token = -torch.minimum(free, bounded)\n", "    per_token = -free\n", {**STEPS, "update_batches": 1}),
    "13_relatives": ("    loss = (reward_chosen - reward_rejected - 1 / (2 * tau)) ** 2\n",
                     "    loss = (reward_chosen - reward_rejected - 1 / (2 * tau)).abs()\n", PAIRS),
}  # fmt: skip


def run(name: str, folder: Path) -> str:
    """Execute an edited notebook; the error in it, or nothing. LookupError if the line to edit is not in it once."""
    old, new, given = EDITS[name]
    source = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    if source.count(old) != 1:
        raise LookupError(f"{name}.py has the line to edit {source.count(old)} times, not once: {old.strip()}")
    edited, made = folder / f"{name}.ipynb", folder / f"{name}.made.ipynb"
    nbformat.write(jupytext.reads(source.replace(old, new), fmt="py:percent"), edited)
    words = [word for parameter, value in given.items() for word in ("-p", parameter, str(value))]
    done = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", edited.name, made.name, *words],
                          cwd=folder, capture_output=True, text=True)  # fmt: skip
    return "" if done.returncode == 0 else done.stderr[-1500:]


def main() -> int:
    """All of them, or those that are named; how many failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"among {', '.join(EDITS)}")
    parser.add_argument("--folder", type=Path, help="where the executed notebooks stay")
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as passing:
        folder = given.folder or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        for name in given.names or EDITS:
            error = run(name, folder)
            failed += bool(error)
            print(f"{name:20} {'runs to its end' if not error else error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
