"""`python -m benchmarks.sampling`: tokens per second of decoding as written out, against `generate`, in one run.

The pocket SFT policy answers the same prompts with the same random numbers both ways, taking turns; the rows that
differ are counted, so that nobody wonders whether both did the same work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest import mock

PROMPTS, MAX_TOKENS = 64, 96
CASES = {  # name: (prompts, settings)
    "greedy, 64 prompts": (64, dict(temperature=0)),
    "temperature 0.7, 64 prompts": (64, dict(temperature=0.7)),
    "top-p 0.9, 64 prompts": (64, dict(temperature=0.7, top_p=0.9)),
    "16 prompts x 8, as in a step of GRPO": (16, dict(temperature=1.0, samples=8)),
    "64 prompts x 8, in batches of 256": (64, dict(temperature=1.0, samples=8)),
    "64 prompts x 8, in one batch": (64, dict(temperature=1.0, samples=8, batch_size=512)),
    "1 prompt": (1, dict(temperature=1.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(table(run(given.rounds)))


def run(rounds: int) -> dict[str, dict]:
    """Per case: seconds of every round for each way, the tokens of all responses, and the rows that differ."""
    from prefnb import data, methods, sampling
    from prefnb.batches import prompt_ids

    start = methods.sft.recipe()
    prompts = [prompt_ids(start.tokenizer, prompt) for prompt in data.Source("pocket").prompts(limit=PROMPTS)["prompt"]]
    ways = {"written out": sampling.can_decode, "generate": lambda model: False}
    found = {name: dict(seconds={way: [] for way in ways}) for name in CASES}
    for number in range(rounds + 1):
        for name, (count, settings) in CASES.items():
            drawn = {}
            for way, chosen in ways.items():
                with mock.patch.object(sampling, "can_decode", chosen):
                    began = time.perf_counter()
                    drawn[way] = sampling.sample(
                        start.model, start.tokenizer, prompts[:count], max_new_tokens=MAX_TOKENS, **settings
                    )
                    if number:  # the first round warms up
                        found[name]["seconds"][way].append(time.perf_counter() - began)
            ours, theirs = drawn.values()
            found[name] |= dict(
                rows=len(ours),
                tokens=sum(len(one.ids) for one in ours),
                differ=sum(one != other for one, other in zip(ours, theirs)),
            )
    return found


def table(found: dict[str, dict]) -> str:
    """Median tokens per second of each way, and how many rows are not the same, as Markdown."""
    lines = ["| | written out, tokens/s | generate, tokens/s | ratio | rows that differ |", "|---|---|---|---|---|"]
    for name, case in found.items():
        ours, theirs = (case["tokens"] / statistics.median(seconds) for seconds in case["seconds"].values())
        lines.append(
            f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} | {case['differ']} of {case['rows']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
