"""`python -m benchmarks.grpo`: the same RLOO and GRPO training here and in TRL, in one run, alternating.

All start from the pocket SFT policy and ask 16 training prompts a step for 8 samples each, at temperature 1, up to the
same length; the gold judge's total is the reward. Learning rate, KL weight and number of steps are the same. TRL is
told where a turn ends. Each runs in a process of its own. Set-up is left out: a step is sampling, judging, and the
update. The rewards along the way stand beside the times, so that nobody wonders whether both did the same work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

from benchmarks.clock import Clock

PROMPTS, SAMPLES, MAX_TOKENS = 16, 8, 96
RATE = 5e-4
KL = {"rloo": 0.05, "grpo": 0.0}  # TRL's own defaults; 0 asks no reference model
WAYS = ("prefnb", "trl")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grpo", description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "METHOD"), help="run one once and print its figures as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run_one(*given.one, given.steps)))
        return
    prepare()
    seen = {(way, method): [] for method in KL for way in WAYS}
    for number in range(given.rounds):
        for way, method in seen:
            words = [sys.executable, "-m", "benchmarks.grpo", "--one", way, method, "--steps", str(given.steps)]
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{way} {method} failed:\n{done.stderr[-2000:]}")
            found = json.loads(done.stdout.strip().splitlines()[-1])
            seen[way, method].append(found)
            print(f"round {number + 1} {way} {method}: {statistics.median(found['seconds']):.2f} s a step", flush=True)
    print(table(seen))


def prepare() -> None:
    """Make the SFT policy that all start from, outside of any timing."""
    from prefnb import methods

    methods.sft.recipe()


def run_one(way: str, method: str, steps: int) -> dict:
    """Train one way; seconds of each step after the first, and the mean reward of each step."""
    from prefnb import data, methods

    start = methods.sft.recipe()
    prompts = list(data.Source("pocket").prompts(limit=PROMPTS * steps)["prompt"])
    return {"prefnb": here, "trl": in_trl}[way](start, prompts, method)


def here(start, prompts: list, method: str) -> dict:
    """prefnb's own loop, as the notebooks use it."""
    from functools import partial
    from types import SimpleNamespace

    from prefnb.judges import GoldJudge
    from prefnb.methods import grpo, rloo
    from prefnb.models import copy_model
    from prefnb.rollouts import Rollouts
    from prefnb.training import train

    weight = KL[method]
    advantages, objective = {
        "rloo": (rloo.leave_one_out, partial(rloo.reinforce, kl_weight=weight)),
        "grpo": (grpo.group_relative, partial(grpo.grpo, kl_weight=weight)),
    }[method]
    source = Rollouts(
        start.model,
        start.tokenizer,
        prompts,
        GoldJudge(),
        advantages,
        prompts_per_step=PROMPTS,
        samples=SAMPLES,
        max_new_tokens=MAX_TOKENS,
        reference_model=copy_model(start.model) if weight else None,
        accumulation=rloo.Settings.of("pocket")["accumulation"],
    )
    clock = Clock()
    live = SimpleNamespace(update=lambda history: clock.tick(), finish=lambda history: None)
    settings = dict(learning_rate=RATE, schedule="constant", warmup=0.0)
    history = train(start.model, source, objective, epochs=1, live=live, progress=False, **settings)
    return {"seconds": clock.seconds, "rewards": list(history["reward"][1]), "lengths": list(history["length"][1])}


def in_trl(start, prompts: list, method: str) -> dict:
    """TRL's RLOOTrainer or GRPOTrainer."""
    import datasets
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    from prefnb.judges import GoldJudge

    judge, clock, on_cpu = GoldJudge(), Clock(), start.model.device.type == "cpu"
    start.tokenizer.eos_token = "<|im_end|>"  # TRL stops at eos_token alone, which in Qwen2.5's base is another one

    def reward(prompts, completions, **_):
        return judge(prompts, [turns[0]["content"] for turns in completions]).total.tolist()

    class Tick(TrainerCallback):
        def on_step_end(self, *_, **__):
            clock.tick()

    config, trainer = {"rloo": (RLOOConfig, RLOOTrainer), "grpo": (GRPOConfig, GRPOTrainer)}[method]
    extra = {"loss_type": "grpo"} if method == "grpo" else {}
    with tempfile.TemporaryDirectory() as folder:
        settings = config(
            output_dir=folder,
            per_device_train_batch_size=PROMPTS * SAMPLES,
            num_generations=SAMPLES,
            max_completion_length=MAX_TOKENS,
            num_train_epochs=1,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            beta=KL[method],
            gradient_checkpointing=False,
            bf16=not on_cpu,
            use_cpu=on_cpu,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            **extra,
        )
        running = trainer(
            model=start.model,
            reward_funcs=reward,
            args=settings,
            train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
            processing_class=start.tokenizer,
            callbacks=[Tick()],
        )
        running.train()
    log = [row for row in running.state.log_history if "reward" in row]
    lengths = [row["completions/mean_length"] for row in log]
    return {"seconds": clock.seconds, "rewards": [row["reward"] for row in log], "lengths": lengths}


def table(seen: dict[tuple[str, str], list[dict]]) -> str:
    """Medians over all steps of all rounds, the ratio to prefnb's, and the rewards by quarters, as Markdown."""
    median = {key: statistics.median(s for run in runs for s in run["seconds"]) for key, runs in seen.items()}
    lines = ["| | s a step | ratio | tokens a sample | reward, by quarters of the run |", "|---|---|---|---|---|"]
    for (way, method), runs in seen.items():
        rewards = [statistics.fmean(column) for column in zip(*(run["rewards"] for run in runs))]
        cut = [rewards[n * len(rewards) // 4 : (n + 1) * len(rewards) // 4] for n in range(4)]
        lengths = statistics.fmean(length for run in runs for length in run["lengths"])
        lines.append(
            f"| {way} {method} | {median[way, method]:.2f} | {median[way, method] / median['prefnb', method]:.2f} | "
            f"{lengths:.0f} | {', '.join(f'{statistics.fmean(part):.2f}' for part in cut if part)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
