"""`python -m benchmarks.dpo`: the same DPO training here and in TRL, in one run, alternating.

Both start from the pocket SFT policy and see the same pairs with the same batch size, learning rate, beta and number of
steps, each in a process of its own, so that neither inherits the other's warm caches or memory. Set-up is
everything from loaded rows to the first step (tokens, reference log-probs), training the steps themselves. Both
print their first and last losses, so that nobody wonders whether they did the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

SETTINGS = dict(learning_rate=2e-4, beta=0.1, batch_size=16)
WAYS = ("prefnb", "trl", "trl_cached")  # TRL with its defaults, and with reference log-probs computed beforehand


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dpo", description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=WAYS, help="run one way once and print its figures as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run_one(given.one, given.pairs)))
        return
    prepare()
    seen = {way: [] for way in WAYS}
    for number in range(given.rounds):
        for way in WAYS:
            words = [sys.executable, "-m", "benchmarks.dpo", "--one", way, "--pairs", str(given.pairs)]
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{way} failed:\n{done.stderr[-2000:]}")
            seen[way].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"round {number + 1} {way}: {seen[way][-1]['setup'] + seen[way][-1]['training']:.1f} s", flush=True)
    print(table(seen, given.pairs))


def prepare() -> None:
    """Make the SFT policy that all start from, outside of any timing."""
    from prefnb import course, methods

    methods.sft.recipe()


def run_one(way: str, pairs: int) -> dict:
    """Set up and train one way; seconds, first and last losses, and peak memory in GB."""
    from prefnb import course, data, methods

    start = methods.sft.recipe()
    rows = data.Source("pocket").pairs(limit=pairs)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFNB_CACHE"] = folder  # the reference is computed here, not loaded
        found = {"prefnb": here, "trl": in_trl, "trl_cached": in_trl}[way](start, rows, way == "trl_cached", folder)
    return {**found, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def here(start, rows, cached: bool, folder: str) -> dict:
    """prefnb's own loop, as the notebooks use it."""
    from functools import partial

    from prefnb import course, methods
    from prefnb.batches import Batches, tokenize
    from prefnb.methods.dpo import dpo
    from prefnb.training import train

    began = time.perf_counter()
    examples = tokenize(rows, start.tokenizer, quiet=True)
    batches = Batches(examples, SETTINGS["batch_size"], reference=course.reference(start.model, examples))
    ready = time.perf_counter()
    history = train(
        start.model,
        batches,
        partial(dpo, beta=SETTINGS["beta"]),
        epochs=1,
        learning_rate=SETTINGS["learning_rate"],
        progress=False,
    )
    losses = history["loss"][1]
    return dict(
        setup=ready - began,
        training=time.perf_counter() - ready,
        first=float(losses[0]),
        last=float(losses[-10:].mean()),
    )


def in_trl(start, rows, cached: bool, folder: str) -> dict:
    """TRL's DPOTrainer with its defaults, `cached` with precompute_ref_log_probs."""
    from trl import DPOConfig, DPOTrainer

    began = time.perf_counter()
    conversational = rows.map(
        lambda row: {
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        },
        remove_columns=[name for name in rows.column_names if name not in ("prompt", "chosen", "rejected")],
    )
    config = DPOConfig(
        output_dir=folder,
        per_device_train_batch_size=SETTINGS["batch_size"],
        num_train_epochs=1,
        learning_rate=SETTINGS["learning_rate"],
        beta=SETTINGS["beta"],
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        precompute_ref_log_probs=cached,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    trainer = DPOTrainer(model=start.model, args=config, train_dataset=conversational, processing_class=start.tokenizer)
    if cached:
        trainer.get_train_dataloader()  # computes the reference log-probs
    ready = time.perf_counter()
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return dict(
        setup=ready - began, training=time.perf_counter() - ready, first=losses[0], last=statistics.fmean(losses[-10:])
    )


def table(seen: dict[str, list[dict]], pairs: int) -> str:
    """Medians over the rounds, and the ratio of each total to prefnb's, as a Markdown table."""
    middle = lambda way, name: statistics.median(run[name] for run in seen[way])  # noqa: E731
    total = {way: statistics.median(run["setup"] + run["training"] for run in seen[way]) for way in seen}
    lines = [
        "| | set-up s | training s | pairs/s | total s | ratio | peak GB | first loss | last losses |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {way} | {middle(way, 'setup'):.1f} | {middle(way, 'training'):.1f} | "
        f"{pairs / middle(way, 'training'):.0f} | {total[way]:.1f} | {total[way] / total['prefnb']:.2f} | "
        f"{middle(way, 'peak_gb'):.2f} | {middle(way, 'first'):.4f} | {middle(way, 'last'):.4f} |"
        for way in seen
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
