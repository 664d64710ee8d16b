"""`python -m benchmarks.qwen`: memory and time of DPO steps at Qwen2.5-0.5B's shapes, here and in TRL.

Random weights and random words: neither memory nor time depends on what the words are. Every way trains on the same
pairs of 512-token dialogs (128 of prompt, 384 of response, so that an even mask hides no padding), with gradient
checkpointing, each in a process of its own, in turns. On a CPU in float32; where there is a GPU with bfloat16 matrix
products, and with TRL's Liger kernels beside it. All processes give freed tensors back to the system at once (`TRIMMED`),
so that the peak is what was in use and not what the allocator kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.clock import Clock

PROMPT, RESPONSE = 128, 384  # tokens
SETTINGS = dict(learning_rate=1e-6, beta=0.1)
WAYS = ("prefnb", "trl", "trl_cached")  # TRL with its defaults, and with reference log-probs computed beforehand
ON_GPU = (*WAYS, "trl_liger")
TRIMMED = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}  # glibc's malloc: what is larger than 1 MiB has pages of its own


def main() -> None:
    import torch

    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qwen", description=__doc__)
    parser.add_argument("--steps", type=int, default=20 if gpu else 2, help="steps of each way, at least 2")
    parser.add_argument("--pairs", type=int, default=8 if gpu else 2, help="pairs in a batch")
    parser.add_argument("--layers", type=int, default=24, help="fewer for a quick look")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FOLDER"), help="run one way once; figures as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run_one(*given.one, given.pairs, given.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        parameters = make_model(folder, given.layers)
        seen = {}
        for way in ON_GPU if gpu else WAYS:
            words = ["--pairs", str(given.pairs), "--steps", str(given.steps), "--one", way, folder]
            command = [sys.executable, "-m", "benchmarks.qwen", *words]
            done = subprocess.run(command, capture_output=True, text=True, env={**TRIMMED, **os.environ})
            if done.returncode:
                sys.exit(f"{way} failed:\n{done.stderr[-2000:]}")
            seen[way] = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{way}: {json.dumps(seen[way])}", flush=True)
    print(table(seen, parameters, given.pairs, matrix_peak() if gpu else None))


def make_model(folder: str, layers: int) -> int:
    """Write a model of Qwen2.5-0.5B's shapes with random weights and the pocket tokenizer; returns its parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from prefnb.models import load_tokenizer

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        rope_theta=1e6,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    load_tokenizer("pocket").save_pretrained(folder)
    return model.num_parameters()


def rows(tokenizer, number: int) -> list[dict]:
    """Preference pairs of random words with PROMPT and RESPONSE tokens, template included."""
    from prefnb.batches import prompt_ids

    draw = random.Random(0)
    words = [word for word in sorted(tokenizer.get_vocab()) if word[0] == "Ġ" and word[1:].isalpha()]
    text = lambda count: "".join(draw.choices(words, k=count)).replace("Ġ", " ")  # noqa: E731
    template = len(prompt_ids(tokenizer, [{"role": "user", "content": ""}]))
    return [
        {
            "prompt": [{"role": "user", "content": text(PROMPT - template)}],
            "chosen": text(RESPONSE - 1),
            "rejected": text(RESPONSE - 1),
        }
        for _ in range(number)
    ]


def run_one(way: str, folder: str, pairs: int, steps: int) -> dict:
    """Train one way for `steps` steps; seconds of each after the first, losses, and peak memory in GB."""
    from prefnb.models import load_tokenizer

    tokenizer = load_tokenizer(folder)
    data = rows(tokenizer, pairs * steps)
    found = here(folder, tokenizer, data, pairs) if way == "prefnb" else in_trl(folder, tokenizer, data, pairs, way)
    import torch

    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _peak_resident()
    return {**found, "peak_gb": peak / 1e9}


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def here(folder: str, tokenizer, data: list[dict], pairs: int) -> dict:
    """prefnb's own loop: the reference's log-probs first, by the same model, then training."""
    from types import SimpleNamespace

    from prefnb import models
    from prefnb.batches import Batches, tokenize
    from prefnb.logprobs import DatasetLogprobs
    from prefnb.methods.dpo import dpo
    from prefnb.course.policies import with_checkpointing
    from prefnb.training import train

    model = with_checkpointing(models.load_model(folder), SimpleNamespace(gradient_checkpointing=True))
    examples = tokenize(data, tokenizer)
    lengths = {len(ids) for ids in examples.prompt_ids}, {len(r) for ids in examples.responses.values() for r in ids}
    assert lengths == ({PROMPT}, {RESPONSE}), lengths
    began = time.perf_counter()
    reference = DatasetLogprobs.compute(model, examples, batch_size=pairs)
    setup, clock = time.perf_counter() - began, Clock()
    live = SimpleNamespace(update=lambda history: clock.tick(), finish=lambda history: None)
    history = train(
        model,
        Batches(examples, pairs, reference=reference),
        partial(dpo, beta=SETTINGS["beta"]),
        epochs=1,
        learning_rate=SETTINGS["learning_rate"],
        progress=False,
        live=live,
    )
    losses = history["loss"][1]
    return dict(setup=setup, step=statistics.median(clock.seconds), first=float(losses[0]), last=float(losses[-1]))


def in_trl(folder: str, tokenizer, data: list[dict], pairs: int, way: str) -> dict:
    """TRL's DPOTrainer on the model's folder, as its documentation has it; gradient checkpointing is its default."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer

    clock = Clock()

    class Tick(TrainerCallback):
        def on_step_end(self, *given, **more):
            clock.tick()

    turn = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    conversational = [{**row, "chosen": turn(row["chosen"]), "rejected": turn(row["rejected"])} for row in data]
    gpu = torch.cuda.is_available()
    config = DPOConfig(
        output_dir=str(Path(folder) / "out"),
        per_device_train_batch_size=pairs,
        num_train_epochs=1,
        learning_rate=SETTINGS["learning_rate"],
        beta=SETTINGS["beta"],
        warmup_steps=0.1,
        precompute_ref_log_probs=way == "trl_cached",
        gradient_checkpointing=True,
        use_liger_kernel=way == "trl_liger",
        model_init_kwargs={"dtype": torch.float32},
        bf16=gpu,
        use_cpu=not gpu,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    began = time.perf_counter()
    trainer = DPOTrainer(
        model=folder,
        args=config,
        train_dataset=Dataset.from_list(conversational),
        processing_class=tokenizer,
        callbacks=[Tick()],
    )
    setup = time.perf_counter() - began
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return dict(setup=setup, step=statistics.median(clock.seconds), first=losses[0], last=losses[-1])


def matrix_peak() -> float:
    """The device's bfloat16 matrix products in FLOP/s, by a large product in this run."""
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    clock = Clock()
    for _ in range(20):
        a @ a
        clock.tick()
    return 2 * 8192**3 / statistics.median(clock.seconds)


def table(seen: dict[str, dict], parameters: int, pairs: int, peak: float | None) -> str:
    """The figures as a Markdown table. `state` is what float32 training holds: weights, gradients, Adam's moments."""
    state = 4 * 4 * parameters / 1e9
    header = ["", "s a step", "tokens/s", "peak GB", f"above {state:.1f} GB", "of TRL's", "first loss", "last loss"]
    lines = []
    for way, run in seen.items():
        tokens = pairs * 2 * (PROMPT + RESPONSE) / run["step"]
        above = run["peak_gb"] - state
        cells = [way, f"{run['step']:.3g}", f"{tokens:,.0f}", f"{run['peak_gb']:.2f}", f"{above:.2f}"]
        cells += [f"{above / (seen['trl']['peak_gb'] - state):.2f}", f"{run['first']:.4f}", f"{run['last']:.4f}"]
        # Two FLOPs per parameter and token forward, four backward; computing again for checkpointing is no gain.
        lines.append(cells + ([f"{6 * parameters * tokens / peak:.0%}"] if peak else []))
    header += ["of matrix peak"] if peak else []
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines])


if __name__ == "__main__":
    main()
