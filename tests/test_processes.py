"""Two processes train as one does: started by Accelerate with the README's configuration file, here on CPUs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from prefnb import __main__ as command_line
from prefnb import methods
from prefnb.batches import Batches, from_samples, tokenize
from prefnb.judges import Scores
from prefnb.models import load_model, load_tokenizer
from prefnb.methods.rloo import leave_one_out, reinforce
from prefnb.rollouts import Rollouts
from prefnb.sampling import Sample
from prefnb.training import History, OnPolicyTerm, train

ROOT = Path(__file__).parents[1]


def test_two_processes_have_the_losses_of_one(small_world, tmp_path):  # noqa: F811
    """Sums and counts must meet, not means: means of unequal pieces are another loss and another gradient."""
    commands = {method: settings(method, small_world, tmp_path) for method in ("sft", "dppo")}
    launch(tmp_path, commands)
    for method, words in commands.items():
        one = getattr(methods, method).recipe(**command_line.named_values(words)).history
        two = History.load(tmp_path / method / "history.json")
        assert len(two.rows) == 6 and two["loss"][1].std() > 1e-4
        for name in ("loss", "tokens", "learning_rate"):
            np.testing.assert_allclose(two[name][1], one[name][1], rtol=0, atol=1e-5, err_msg=f"{method}: {name}")
        np.testing.assert_allclose(two["grad_norm"][1], one["grad_norm"][1], rtol=1e-4, err_msg=method)


def settings(method: str, world: dict, folder: Path) -> list[str]:
    """The command line's words, for batches that cannot be shared evenly.

    SFT: 17 dialogs in batches of 7 are 7, 7 and 3, cut into 4, 4 and 3 pieces: one process has none left at the end.
    DPPO: 15 pairs are 7, 7 and 1: in the last step one process has nothing at all to do.
    """
    rows = [json.loads(line) for line in Path(world["dataset"]).read_text().splitlines()]
    for number, row in enumerate(rows):  # unequal lengths, or a mean over processes would look right by accident
        row["chosen"] += " Yes." * (number % 5)
    if method == "sft":
        rows = [{"prompt": row["prompt"], "response": row["chosen"]} for row in rows]
    file = folder / f"{method}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    more = {
        "sft": "--dialogs 17 --accumulation 2",
        "dppo": "--pairs 15 --alpha 0.5 --max_response_tokens 8",
    }[method]
    return f"--model {world['model']} --dataset {file} --batch_size 7 --epochs 2 {more}".split()


def launch(folder: Path, commands: dict[str, list[str]], file="two_gpus.yaml", before="", after="") -> None:
    """Run the commands one after the other in two processes of Accelerate's, with a cache of their own."""
    configuration = re.search(rf"```yaml\n(# {file}\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (folder / file).write_text(configuration.group(1))
    script = folder / "script.py"  # one start for all of them: it takes longer than the training
    calls = [[method, *words, f"--output_dir={folder / method}"] for method, words in commands.items()]
    script.write_text(f"{before}\nfrom prefnb.__main__ import main\nfor words in {calls}:\n    main(words)\n{after}")
    launcher = "-m accelerate.commands.launch --main_process_port 0 --config_file".split()
    done = subprocess.run(
        [sys.executable, *launcher, str(folder / file), str(script)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        # without a GPU in sight, the two processes meet on the CPU
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PREFNB_CACHE": str(folder / "cache_of_two")},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("The policy and history.json are in") == len(commands)  # one of the two writes and speaks


# On CPUs Accelerate does not split weights, whatever its file says: here it is told to.
SPLIT = """
import accelerate
from prefnb.training import loop

class Splitting(accelerate.Accelerator):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.state.distributed_type = accelerate.DistributedType.FSDP
        self.state.fsdp_plugin = accelerate.FullyShardedDataParallelPlugin()

    def prepare(self, *things):
        scorer, optimizer = super().prepare(*things)
        assert all(type(p).__name__ == "DTensor" for p in scorer.parameters())
        return scorer, optimizer

loop.Accelerator = Splitting
"""

# A run that is cut off and goes on, beside one that is not, each with its weights in two parts.
INTERRUPTED = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from prefnb import data, models
from prefnb.batches import Batches, tokenize
from prefnb.processes import processes
from prefnb.training import train

folder, model, file = Path({folder!r}), {model!r}, {file!r}
examples = tokenize(data.Source(file).pairs(), models.load_tokenizer(model), ("chosen",), quiet=True)

def run(name, **settings):
    objective = lambda policy, reference: (-policy.chosen.mean, {{}})
    return train(models.load_model(model), Batches(examples, 4), objective, epochs=2, learning_rate=1e-2, progress=False,
                 checkpoint=folder / name, checkpoint_every=3, **settings)

def cut_off(history):
    if len(history.rows) == 4:
        raise KeyboardInterrupt

whole = run("whole").rows
try:
    run("cut", live=SimpleNamespace(update=cut_off))
except KeyboardInterrupt:
    again = run("cut").rows
best = models.load_model(model)  # a monitor that never rises: the best weights are those of the beginning
train(best, Batches(examples, 4), lambda policy, reference: (-policy.chosen.mean, {{}}), epochs=1, learning_rate=1e-2,
      progress=False, monitor=lambda policy: {{"score": 0.0}}, stop_on="score")
assert models.fingerprint(best) == models.fingerprint(models.load_model(model))
if processes().is_main_process:
    (folder / "losses.json").write_text(json.dumps([[row["loss"] for row in rows] for rows in (whole, again)]))
"""


def test_weights_in_parts_train_and_are_saved_whole(small_world, tmp_path):  # noqa: F811
    """FSDP: the losses of one process, a saved policy that is all there, an interrupted run that goes on, and the best
    weights put back.

    Guards the tie of embedding and head, which splitting undoes, and files written from a part of the weights.
    """
    words = settings("dppo", small_world, tmp_path)
    file = tmp_path / "dppo.jsonl"
    after = INTERRUPTED.format(folder=str(tmp_path), model=small_world["model"], file=str(file))
    launch(tmp_path, {"dppo": words}, "fsdp.yaml", before=SPLIT, after=after)
    made = methods.dppo.recipe(**command_line.named_values(words))
    two = History.load(tmp_path / "dppo" / "history.json")
    np.testing.assert_allclose(two["loss"][1], made.history["loss"][1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(two["grad_norm"][1], made.history["grad_norm"][1], rtol=1e-4)
    saved, expected = load_model(str(tmp_path / "dppo")).state_dict(), made.model.state_dict()
    assert all(torch.allclose(saved[name], expected[name], atol=1e-5) for name in expected)
    whole, again = json.loads((tmp_path / "losses.json").read_text())
    assert len(whole) > 4
    np.testing.assert_allclose(again, whole, rtol=0, atol=1e-5)


# Samples drawn by two processes, written down with what was learnt from them.
ROLLOUTS = """
import json
from pathlib import Path
from prefnb import models
from prefnb.processes import processes
from prefnb.training import train
from test_processes import learning_from_samples, with_a_term_without_gradient

policy, source, objective, settings = learning_from_samples({model!r})
draw, drawn = source.draw, []
source.draw = lambda index, seed: drawn.append(draw(index, seed)) or drawn[-1]
rows = train(policy, source, objective, **settings).rows
found = dict(rows=rows, samples=[one.samples for one in drawn], weights=models.fingerprint(policy))
found["with a term"] = models.fingerprint(with_a_term_without_gradient({model!r}))
Path({folder!r}, f"rollouts{{processes().process_index}}.json").write_text(json.dumps(found))
"""


def learning_from_samples(model: str):
    """Three prompts a step, so that the processes have two and one to ask; four samples each, cut into pieces."""
    policy, tokenizer = load_model(model), load_tokenizer(model)
    judge = lambda prompts, texts: Scores(np.array([-float(len(text)) for text in texts]))  # noqa: E731
    source = Rollouts(
        policy,
        tokenizer,
        [[{"role": "user", "content": f"What is {n}?"}] for n in range(4)],
        judge,
        leave_one_out,
        prompts_per_step=3,
        samples=4,
        max_new_tokens=8,
        accumulation=2,
    )
    return policy, source, reinforce, dict(epochs=2, learning_rate=1e-3, progress=False)


def with_a_term_without_gradient(model: str):
    """A policy trained with a term on samples that only measures: each process has its own pairs in a step."""
    policy, tokenizer = load_model(model), load_tokenizer(model)
    rows = [{"prompt": [{"role": "user", "content": f"What is {n}?"}], "chosen": "It is a number. " * n} for n in range(1, 5)]
    examples = tokenize(rows, tokenizer, ("chosen",), quiet=True)
    measure = lambda model, step: from_samples(examples.prompt_ids[:1], examples.responses["chosen"][:1])  # noqa: E731
    term = OnPolicyTerm(measure, lambda policy, reference: (policy.sample.length, {}))
    train(policy, Batches(examples, 4), sft_of_chosen, epochs=2, learning_rate=1e-2, progress=False, on_policy=term)
    return policy


@pytest.mark.filterwarnings("ignore:None of the")  # random models hardly ever stop
def test_two_processes_learn_from_samples_as_one_does(small_world, tmp_path):  # noqa: F811
    """Each draws its share, both know all of them, and samples and steps are those of one process. A term without a
    gradient does not keep the processes from meeting."""
    model = small_world["model"]
    after = ROLLOUTS.format(model=model, folder=str(tmp_path))
    launch(tmp_path, {}, before=f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})", after=after)
    first, second = (json.loads((tmp_path / f"rollouts{n}.json").read_text()) for n in range(2))
    assert first == second
    recorded = [[Sample(*one) for one in samples] for samples in first["samples"]]
    assert [len(samples) for samples in recorded] == [12, 4, 12, 4]
    policy, source, objective, settings = learning_from_samples(model)
    answers, own = source._answers, []
    source._answers = lambda index, seed: own.append(answers(index, seed)) or recorded.pop(0)
    for one, two in zip(train(policy, source, objective, **settings).rows, first["rows"], strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-5), name
    assert [list(one) for one in own[0]] == first["samples"][0]  # later ones see weights that were rounded otherwise


@pytest.mark.parametrize("main", [True, False])
def test_only_the_main_process_writes_the_unfinished_run(model, tokenizer, pairs, tmp_path, monkeypatch, main):
    """Two writers of one file: now and then the second finds it moved away, and training dies."""
    monkeypatch.setattr("accelerate.Accelerator.is_main_process", property(lambda self: main))
    batches = Batches(tokenize(pairs, tokenizer, ("chosen",)), 4)
    train(model, batches, sft_of_chosen, epochs=1, learning_rate=1e-3, checkpoint=tmp_path / "run", checkpoint_every=1)
    assert (tmp_path / "run" / "unfinished.safetensors").exists() == main


def sft_of_chosen(policy, reference):
    """Any loss will do here."""
    return -policy.chosen.mean, {}
