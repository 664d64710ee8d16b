"""Whole methods as functions of their parameters, cached on disk: what a notebook calls for what an earlier one made.

Everything expensive is kept under a key of all it depends on: the parameters, the weights it starts from, and the
token ids it sees (so the template too). Two notebooks may share the cache at once: the second waits for the
first's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Callable

import torch
from filelock import FileLock
from platformdirs import user_cache_dir

import prefnb
from prefnb import data, evaluate, models, parameters, pocket
from prefnb.batches import Batches, Examples, from_samples, prompt_ids, tokenize
from prefnb.evaluate import WinRate, win_rate
from prefnb.judges import GoldJudge, Scores
from prefnb.logprobs import DatasetLogprobs, Scorer
from prefnb.objectives import dpo as dpo_objectives
from prefnb.objectives import dppo as dppo_objectives
from prefnb.objectives import sft as sft_objectives
from prefnb.parameters import Choice, Flag, Number, Schema, Whole
from prefnb.sampling import Sample, sample
from prefnb.train import History, OnPolicyTerm, train

# --- parameters of the methods ------------------------------------------------------------

_TRAINING = {
    "schedule": Choice("linear", "cosine", "exponential", "constant"),
    "accumulation": Whole(1, 4096),
    "max_prompt_tokens": Whole(1),
    "max_response_tokens": Whole(1),
}
_SFT_POCKET = dict(
    model="pocket",
    dataset="pocket",
    dialogs=4000,
    epochs=1,
    batch_size=16,
    learning_rate=2e-3,
    schedule="linear",
    accumulation=1,
    max_prompt_tokens=160,
    max_response_tokens=112,
    min_response_chars=0,
)
# 004 §4: one epoch, batch 4 x 8, learning rate 1e-6. 002 §4.1.1: 255 and 420 tokens, at least 75 characters.
_SFT_QWEN = dict(
    model="Qwen/Qwen2.5-0.5B",
    dataset="HuggingFaceTB/smoltalk",
    dialogs=460_000,
    epochs=1,
    batch_size=32,
    learning_rate=1e-6,
    schedule="linear",
    accumulation=8,
    max_prompt_tokens=255,
    max_response_tokens=420,
    min_response_chars=75,
)
_PREFERENCE = {**_TRAINING, "sft": Flag(), "beta": Number(0, 100)}
_PREFERENCE_POCKET = dict(
    model="pocket",
    dataset="pocket",
    sft=True,
    pairs=256,
    epochs=1,
    batch_size=16,
    learning_rate=2e-4,
    schedule="linear",
    accumulation=1,
    max_prompt_tokens=160,
    max_response_tokens=112,
    beta=0.1,
)
_PREFERENCE_QWEN = dict(
    model="Qwen/Qwen2.5-0.5B",
    dataset="HuggingFaceH4/ultrafeedback_binarized",
    sft=True,
    pairs=61_000,
    epochs=1,
    batch_size=32,
    learning_rate=5e-6,
    schedule="linear",
    accumulation=8,
    max_prompt_tokens=512,
    max_response_tokens=477,
)  # 004 §4: 989 tokens of context

SFT = Schema(
    {**_TRAINING, "dialogs": Whole(1), "min_response_chars": Whole(0)}, {"pocket": _SFT_POCKET, "qwen": _SFT_QWEN}
)
DPO = Schema(_PREFERENCE, {"pocket": _PREFERENCE_POCKET, "qwen": {**_PREFERENCE_QWEN, "beta": 0.01}})
_PENALISED = dict(
    penalty="minimum_likelihood", weight="linear", zeta=0.5, level="token", normalize="tanh_mean", alpha=10.0
)
DPPO = Schema(
    {
        **_PREFERENCE,
        "alpha": Number(0, 10_000),
        "zeta": Number(0, 1),
        "penalty": Choice(*dppo_objectives.PENALTIES),
        "weight": Choice(*dppo_objectives.WEIGHTS),
        "normalize": Choice(*dppo_objectives.NORMALIZATIONS),
        "level": Choice(*dppo_objectives.LEVELS),
    },
    {
        "pocket": {**_PREFERENCE_POCKET, **_PENALISED},
        "qwen": {**_PREFERENCE_QWEN, "beta": 0.01, **_PENALISED},
    },
)


# --- methods ------------------------------------------------------------


@dataclass
class Trained:
    """A trained policy with what it took: `model`, `tokenizer`, `history`."""

    model: torch.nn.Module
    tokenizer: object
    history: History


def sft(**given) -> Trained:
    """Supervised fine-tuning (002 §4.1, 003 §3.2 without the penalty), with `SFT`'s parameters."""
    p = parameters.check(given, SFT)

    def make() -> Trained:
        tokenizer, model = models.load_tokenizer(p.model), models.load_model(p.model)
        examples = sft_examples(p, tokenizer)
        history = train(
            model,
            Batches(examples, p.batch_size, accumulation=p.accumulation, seed=p.seed),
            sft_objectives.sft,
            average="token",
            checkpoint=_unfinished("sft", p),
            **_loop(p),
        )
        return Trained(model, tokenizer, history)

    return _trained("sft", p, make)


def dpo(**given) -> Trained:
    """Direct Preference Optimization (Rafailov et al. 2023) from the SFT policy, with `DPO`'s parameters."""
    p = parameters.check(given, DPO)
    return _preference("dpo", p, partial(dpo_objectives.dpo, beta=p.beta))


def dppo(**given) -> Trained:
    """Direct Preference and Penalization Optimization (004 §3) from the SFT policy, with `DPPO`'s parameters."""
    p = parameters.check(given, DPPO)
    objective = partial(
        dppo_objectives.dppo,
        alpha=p.alpha,
        beta=p.beta,
        penalty=p.penalty,
        weight=p.weight,
        zeta=p.zeta,
        level=p.level,
        normalize=p.normalize,
    )
    return _preference("dppo", p, objective, with_generated=p.alpha > 0)


def _preference(name: str, p: SimpleNamespace, objective: Callable, with_generated: bool = False) -> Trained:
    def make() -> Trained:
        policy, tokenizer = starting_policy(p)
        examples = pair_examples(p, tokenizer)
        if with_generated:
            examples = examples.plus("generated", greedy_ids(policy, tokenizer, examples, p.max_response_tokens))
        batches = Batches(
            examples, p.batch_size, accumulation=p.accumulation, seed=p.seed, reference=reference(policy, examples)
        )
        return Trained(
            policy, tokenizer, train(policy, batches, objective, checkpoint=_unfinished(name, p), **_loop(p))
        )

    return _trained(name, p, make)


def _loop(p: SimpleNamespace) -> dict:
    return dict(epochs=p.epochs, learning_rate=p.learning_rate, schedule=p.schedule)


# --- the parts that notebooks use as well ------------------------------------------------------------


def starting_policy(p: SimpleNamespace):
    """(model, tokenizer) that a preference method starts from: the preset's base model after SFT, or `p.model` as
    it is."""
    if p.sft and p.model == SFT.presets[p.preset]["model"]:
        made = sft(preset=p.preset, seed=p.seed)
        return made.model, made.tokenizer
    return models.load_model(p.model), models.load_tokenizer(p.model)


def sft_examples(p: SimpleNamespace, tokenizer, split: str = "train") -> Examples:
    """Tokenised first exchanges, those with very short responses left out (002 §4.1.1)."""
    rows = data.load_dialogs(p.dataset, split, limit=p.dialogs if split == "train" else None, seed=p.seed)
    long_enough = rows.filter(lambda row: len(row["response"]) >= p.min_response_chars)
    if len(long_enough) < len(rows):
        print(
            f"{len(rows) - len(long_enough)} of {len(rows)} dialogs left out: response under {p.min_response_chars} characters."
        )
    return tokenize(
        long_enough,
        tokenizer,
        ("response",),
        max_prompt_tokens=p.max_prompt_tokens,
        max_response_tokens=p.max_response_tokens,
    )


def pair_examples(p: SimpleNamespace, tokenizer, split: str = "train", limit: int | None = None) -> Examples:
    """Tokenised preference pairs of a split: `p.pairs` of them for training, `limit` for a held-out look."""
    rows = data.load_pairs(p.dataset, split, limit=p.pairs if split == "train" else limit, seed=p.seed)
    return tokenize(rows, tokenizer, max_prompt_tokens=p.max_prompt_tokens, max_response_tokens=p.max_response_tokens)


def reference(model, examples: Examples) -> DatasetLogprobs:
    """The frozen model's log-probs of every response, from the cache if this model has seen these examples before."""
    key = {"model": models.fingerprint(model), "examples": _digest([examples.prompt_ids, examples.responses])}

    return cached(
        "reference", key, partial(DatasetLogprobs.compute, model, examples), DatasetLogprobs.save, DatasetLogprobs.load
    )


def greedy_ids(model, tokenizer, examples: Examples, max_new_tokens: int) -> list[list[int]]:
    """The model's own greedy response to every example's prompt (004 eq. 4), as ids, cached like `reference`."""
    key = {"model": models.fingerprint(model), "prompts": _digest(examples.prompt_ids), "tokens": max_new_tokens}

    def make() -> list[list[int]]:
        drawn = sample(model, tokenizer, examples.prompt_ids, temperature=0, max_new_tokens=max_new_tokens)
        return [one.ids for one in drawn]

    def save(ids, folder: Path) -> None:
        (folder / "ids.json").write_text(json.dumps(ids))

    return cached("greedy", key, make, save, lambda folder: json.loads((folder / "ids.json").read_text()))


def on_policy(
    tokenizer,
    examples: Examples,
    objective: Callable,
    *,
    every: int,
    prompts: int,
    max_new_tokens: int,
    seed: int = 0,
    reference_model=None,
    extras: Callable[[list[int]], dict] | None = None,
) -> OnPolicyTerm:
    """A term of the loss on the policy's own samples at temperature 1, for `train(on_policy=...)`.

    Every `every` steps, `prompts` of the examples' prompts get one sample each. `extras(index)` gives the (batch,)
    tensors that the objective takes by name, for the examples `index`; the reference's log-probs are there if its
    model is given.
    """

    def make_batch(model, step: int):
        index = random.Random(f"{seed}-{step}").sample(range(len(examples)), min(prompts, len(examples)))
        ids = [examples.prompt_ids[i] for i in index]
        drawn = sample(model, tokenizer, ids, temperature=1.0, max_new_tokens=max_new_tokens, seed=seed + step)
        model.train()
        batch = from_samples(ids, [one.ids for one in drawn], **(extras(index) if extras else {})).to(model.device)
        if reference_model is None:
            return batch
        with torch.no_grad():
            return replace(batch, reference=Scorer(reference_model)(batch))

    return OnPolicyTerm(make_batch, objective, every)


# --- how did it go ------------------------------------------------------------


@dataclass
class Comparison:
    """What several policies answered to the same test prompts. Without a judge that knows, scores and win_rates
    are empty."""

    prompts: list[list[dict]]
    categories: list[str]
    references: list[str]
    answers: dict[str, list[Sample]]
    scores: dict[str, Scores]
    win_rates: dict[str, WinRate]
    baseline: str
    tie: float

    @property
    def judged(self) -> bool:
        """Is there a judge that knows the answers?"""
        return bool(self.scores)

    def texts(self, label: str) -> list[str]:
        """The answers of one policy as strings."""
        return [one.text for one in self.answers[label]]


def compare(
    policies: dict, tokenizer, p: SimpleNamespace, *, baseline: str = "SFT", temperature: float = 0.7
) -> Comparison:
    """Let every policy answer the test prompts of `p.dataset`, judge the answers, and compare with `baseline`.

    Every policy samples with a seed of its own: with one for all, policies that are nearly the same give many of the
    same answers, and the comparison is mostly ties.
    """
    rows = data.load_prompts(p.dataset, "test", limit=p.test_prompts, seed=p.seed)
    prompts = list(rows["prompt"])
    answers = {
        label: sample(
            model,
            tokenizer,
            prompts,
            temperature=temperature,
            seed=p.seed + number,
            max_new_tokens=p.max_response_tokens,
        )
        for number, (label, model) in enumerate(policies.items())
    }
    column = lambda name: list(rows[name]) if name in rows.column_names else [""] * len(rows)  # noqa: E731
    judge, scores, rates = GoldJudge(), {}, {}
    if data.is_pocket(p.dataset):
        scores = {label: judge(prompts, [one.text for one in drawn]) for label, drawn in answers.items()}
        rates = {
            label: win_rate(found, scores[baseline], tie=judge.tie)
            for label, found in scores.items()
            if label != baseline
        }
    else:
        print(
            "No gold judge can know the right answers here: look at the margins and the accuracy on held-out pairs instead."
        )
    return Comparison(prompts, column("category"), column("reference"), answers, scores, rates, baseline, judge.tie)


def sampled_kl(policy, reference_model, tokenizer, prompts: list, *, max_new_tokens: int, seed: int = 0) -> dict:
    """KL(policy || reference) in nats per response, estimated on the policy's own samples at temperature 1 (k1 and
    k3)."""
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    drawn = sample(policy, tokenizer, ids, temperature=1.0, max_new_tokens=max_new_tokens, seed=seed)
    samples = Examples(ids, {"sample": [one.ids for one in drawn]}, list(range(len(ids))))
    return evaluate.kl(
        DatasetLogprobs.compute(policy, samples).all().sample,
        DatasetLogprobs.compute(reference_model, samples).all().sample,
    )


# --- what runs leave ------------------------------------------------------------


def record(folder: Path, p: SimpleNamespace, histories: dict[str, History], comparison: Comparison, **summary) -> Path:
    """Write a run's parameters, histories, responses with scores, and summary as JSON into `folder`; returns it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "parameters.json", vars(p))
    for label, history in histories.items():
        history.save(folder / f"history_{label.replace(' ', '_')}.json")
    _write(
        folder / "responses.json",
        [
            {
                "prompt": prompt[-1]["content"],
                "category": category,
                "method": label,
                "response": one.text,
                "finished": one.finished,
                **({"score": float(comparison.scores[label].total[i])} if comparison.judged else {}),
            }
            for label, drawn in comparison.answers.items()
            for i, (prompt, category, one) in enumerate(zip(comparison.prompts, comparison.categories, drawn))
        ],
    )
    rates = {
        label: {"half": rate.half, "strict": rate.strict, "ties": rate.tie_share, "interval": rate.half_interval}
        for label, rate in comparison.win_rates.items()
    }
    _write(
        folder / "summary.json",
        {"baseline": comparison.baseline, "prompts": len(comparison.prompts), "win_rates": rates, **summary},
    )
    return folder


def _write(path: Path, value) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)


# --- the cache ------------------------------------------------------------


def cache_folder() -> Path:
    """Where made things are kept: $PREFNB_CACHE, or the user's cache folder."""
    return Path(os.environ.get("PREFNB_CACHE") or user_cache_dir("prefnb"))


def cached(kind: str, key: dict, make: Callable, save: Callable, load: Callable):
    """`load(folder)` if the entry exists and is whole, else `make()`, kept with `save(value, folder)`.

    A damaged entry is set aside and made again, saying so. With several processes, all make it together; the main one
    holds the lock and writes.
    """
    folder = cache_folder() / f"{kind}-{_digest({**key, 'version': prefnb.__version__})}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    state = models.processes()
    with FileLock(f"{folder}.lock") if state.is_main_process else contextlib.nullcontext():
        if state.is_main_process:
            _set_aside_if_damaged(folder, load)
        state.wait_for_everyone()
        if folder.exists():
            return load(folder)
        value = make()
        if state.is_main_process:
            with models.written_whole(folder) as part:
                save(value, part)
                _write(
                    part / "entry.json",
                    {"key": key, "sha256": {file.name: _file_digest(file) for file in sorted(part.iterdir())}},
                )
        state.wait_for_everyone()
        return value


def _set_aside_if_damaged(folder: Path, load: Callable) -> None:
    if not folder.exists():
        return
    try:
        _check_whole(folder)
        load(folder)
    except Exception as error:  # whatever is wrong with it, it can be made again
        aside = models.set_aside(folder)
        print(
            f"The cache entry {folder.name} is damaged ({models.first_line(error)}); "
            f"it was set aside as {aside.name} and is made again."
        )


def _check_whole(folder: Path) -> None:
    for name, digest in json.loads((folder / "entry.json").read_text())["sha256"].items():
        if _file_digest(folder / name) != digest:
            raise ValueError(f"{name} has changed since it was written")


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _key(name: str, p: SimpleNamespace) -> dict:
    return {"recipe": name, **{k: v for k, v in vars(p).items() if k != "output_dir"}, "files": _digest(_files(p))}


def _files(p: SimpleNamespace) -> dict:
    """Hashes of the local files that the parameters name, so that a changed file is another key."""
    found = {}
    for name in (p.model, p.dataset):
        path = pocket.DATA if name == "pocket" else Path(name).expanduser()
        files = [path] if path.is_file() else sorted(path.glob("**/*")) if path.is_dir() else []
        found |= {f"{name}/{file.name}": _file_digest(file) for file in files if file.is_file()}
    return found


def _unfinished(name: str, p: SimpleNamespace) -> Path:
    return cache_folder() / f"unfinished-{name}-{_digest(_key(name, p))}"


def _trained(name: str, p: SimpleNamespace, make: Callable[[], Trained]) -> Trained:
    def save(trained: Trained, folder: Path) -> None:
        trained.model.save_pretrained(folder)
        trained.tokenizer.save_pretrained(folder)
        trained.history.save(folder / "history.json")

    def load(folder: Path) -> Trained:
        return Trained(
            models.load_model(str(folder)), models.load_tokenizer(str(folder)), History.load(folder / "history.json")
        )

    made = cached(name, _key(name, p), make, save, load)
    shutil.rmtree(_unfinished(name, p), ignore_errors=True)
    return made
