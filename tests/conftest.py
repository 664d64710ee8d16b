"""What many tests share: the pocket world's tokenizer, and a tiny model of its architecture with random weights."""

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small only wait for a second thread

import pytest
import torch


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("PREFNB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tokenizer():
    from prefnb.models import load_tokenizer

    return load_tokenizer("pocket")


def random_model(tokenizer, seed=0):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.1,
    )
    return Qwen2ForCausalLM(config).eval()


@pytest.fixture
def model(tokenizer):
    return random_model(tokenizer)


@pytest.fixture
def pairs():
    """Preference rows of very different lengths."""
    words = "the heron is grey and lives by the river where it waits for fish every morning".split()
    return [
        {
            "prompt": [{"role": "user", "content": f"Tell me {n} things about the heron."}],
            "chosen": " ".join(words[: 3 + n]),
            "rejected": " ".join(words[: 14 - n]) + "!",
        }
        for n in range(12)
    ]


@pytest.fixture
def small_world(model, tokenizer, tmp_path):
    """A model folder and a preference file: the path that real data takes."""
    from prefnb import models

    models.save_checkpoint(model, tokenizer, tmp_path / "model")
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}, a number.", "rejected": f"No {n}."} for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return dict(model=str(tmp_path / "model"), dataset=str(tmp_path / "pairs.jsonl"), pairs=16, batch_size=8)
