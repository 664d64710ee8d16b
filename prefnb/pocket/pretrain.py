"""Tokenizer and base model of the pocket world: a small Qwen2 trained on the world's raw text.

The text is never the same twice: the batch of each step is written when its turn comes, from the seed and the number of
the step. So a training that was interrupted goes on where its last checkpoint stands, and ends with the same weights.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import DataLoader, Dataset, Subset
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from . import build

VOCABULARY = 1152
BLOCK, BATCH = 256, 8  # tokens of a row, rows of a step
STEPS, LEARNING_RATE = 17000, 4e-3  # on raw text
LAST_STEPS, LAST_LEARNING_RATE = 400, 1e-3  # on the archive
WARM_UP = 200
CHECKPOINT_EVERY = 500
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with Qwen2.5's special tokens and chat form: no BOS, `<|endoftext|>` pads and ends."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[0],
        additional_special_tokens=SPECIAL[1:],
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def tokenizer_texts(seed: int) -> Iterator[str]:
    """What the tokenizer learns from: raw text, and dialogs, since the writers' phrases deserve short codes, too."""
    rng = build.rng_for("raw text for the tokenizer", seed)
    yield from (build.raw_passage(rng) for _ in range(10000))
    for row in build.rows_of("sft_train", seed)[:2000]:
        yield from (message["content"] for message in row["messages"])


def new_model(vocabulary: int) -> Qwen2ForCausalLM:
    """A Qwen2 model with fresh weights (about a million of them)."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.06,  # wider than usual: so small a model starts faster
            use_sliding_window=False,
            attention_dropout=0.0,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
        )
    )


class FreshText(Dataset):
    """Item k: the batch of step k, (BATCH, BLOCK) token ids of passages end to end, each closed by <|endoftext|>.

    Raw text first, the archive in the last steps. The same seed and k give the same batch, whoever asks in what order.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int):
        self.tokenizer, self.seed = tokenizer, seed

    def __len__(self):
        return STEPS + LAST_STEPS

    def __getitem__(self, step):
        rng = random.Random(f"{self.seed}|raw text|{step}")
        passage = build.raw_passage if step < STEPS else build.archive_passage
        ids = []
        while len(ids) < BATCH * BLOCK:
            for one in self.tokenizer([passage(rng) for _ in range(16)])["input_ids"]:
                ids += [*one, self.tokenizer.eos_token_id]
        return torch.tensor(ids[: BATCH * BLOCK]).view(BATCH, BLOCK)


def learning_rate(step: int) -> float:
    """Of each of the two stages: a short warm-up, then a cosine down to a fiftieth."""
    top, at, steps = (LEARNING_RATE, step, STEPS) if step < STEPS else (LAST_LEARNING_RATE, step - STEPS, LAST_STEPS)
    return top * min((at + 1) / min(WARM_UP, steps / 5), 0.02 + 0.49 * (1 + math.cos(math.pi * at / steps)))


def pretrain(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, checkpoint: Path, say: Callable = print
) -> list[dict]:
    """Next-token training on fresh text by AdamW; goes on from the file `checkpoint` if there is one, and keeps one.

    Returns the history: [{"step": steps done, "loss": of the last batch, nats a token}, ...], one row a checkpoint.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    history = load_checkpoint(checkpoint, model, optimizer)
    first = history[-1]["step"] if history else 0
    text = FreshText(tokenizer, seed)
    writers = min(12, (os.cpu_count() or 2) - 1)  # processes that write text while this one trains
    batches = DataLoader(Subset(text, range(first, len(text))), batch_size=None, num_workers=writers)
    start = time.perf_counter()
    for step, batch in enumerate(batches, first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        batch = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16):  # products only; weights, moments and the loss stay float32
            loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        done = step + 1
        if done % CHECKPOINT_EVERY == 0 or done == len(text):
            passed = time.perf_counter() - start
            left = passed / (done - first) * (len(text) - done)
            history.append({"step": done, "loss": round(loss.item(), 3)})
            say(
                f"step {done:6} of {len(text)}  loss {loss.item():.3f}  {passed:6.0f} s, {left:6.0f} s to go",
                flush=True,
            )
            save_checkpoint(checkpoint, model, optimizer, history)
    model.to("cpu").eval()
    return history


def save_checkpoint(path: Path, model: Qwen2ForCausalLM, optimizer: torch.optim.Optimizer, history: list[dict]) -> None:
    """Weights, Adam's moments and the history, whole or not at all."""
    part = path.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, part)
    os.replace(part, path)


def load_checkpoint(path: Path, model: Qwen2ForCausalLM, optimizer: torch.optim.Optimizer) -> list[dict]:
    """Put a checkpoint's tensors where they belong, and return its history; [] if there is no checkpoint."""
    if not path.exists():
        return []
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    return kept["history"]


def build_model(out: Path, seed: int) -> None:
    """Train tokenizer and base model from the seed and write them to the folder `out`."""
    tokenizer = train_tokenizer(tokenizer_texts(seed))
    torch.manual_seed(seed)
    model = new_model(len(tokenizer))
    print(
        f"{(STEPS + LAST_STEPS) * BATCH * BLOCK:,} tokens of raw text, vocabulary {len(tokenizer)}, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f"{out.name}.unfinished.pt")
    history = pretrain(model, tokenizer, seed, unfinished)
    model.generation_config.eos_token_id = [0, 2]
    model.generation_config.pad_token_id = 0
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    settings = {"seed": seed, "rows": BATCH, "block": BLOCK, "steps": STEPS, "learning_rate": LEARNING_RATE}
    settings |= {"last_steps": LAST_STEPS, "last_learning_rate": LAST_LEARNING_RATE}
    (out / "training.json").write_text(json.dumps({**settings, "history": history}, indent=1) + "\n", encoding="utf-8")
    for path in out.iterdir():
        path.chmod(0o644)
    unfinished.unlink()
