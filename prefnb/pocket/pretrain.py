"""Tokenizer and base model of the pocket world: a small Qwen2 trained on the world's raw text."""

import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from . import build

VOCABULARY = 1152
BLOCK = 128
BATCH = 16
STEPS, LEARNING_RATE = 2400, 4e-3  # on raw text
LAST_STEPS, LAST_LEARNING_RATE = 300, 1e-3  # on the archive
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts):
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


def new_model(vocabulary):
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


def blocks_of(tokenizer, texts):
    """All texts end to end, each closed by <|endoftext|>, cut into (number of blocks, BLOCK) token ids."""
    ids = []
    for one in tokenizer(list(texts))["input_ids"]:
        ids += [*one, tokenizer.eos_token_id]
    return torch.tensor(ids[: len(ids) // BLOCK * BLOCK]).view(-1, BLOCK)


def pretrain(model, blocks, steps, learning_rate, seed, say=print):
    """Next-token training on the blocks: AdamW, short warm-up, cosine decay."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    warm = 40
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm,
            0.02 + 0.49 * (1 + torch.cos(torch.tensor(torch.pi * min(1.0, step / steps))).item()),
        ),
    )
    generator = torch.Generator().manual_seed(seed)
    start, order = time.perf_counter(), torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(blocks), generator=generator)
        batch, order = blocks[order[:BATCH]], order[BATCH:]
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            say(
                f"pre-training step {step:5} of {steps}  loss {loss.item():.3f}  {time.perf_counter() - start:5.0f} s"
            )


def build_model(out, seed):
    """Train tokenizer and base model from the seed and write them to the folder `out`."""
    torch.manual_seed(seed)
    texts = list(build.raw_text(seed=seed))
    dialogs = build.rows_of("sft_train", seed)[:2000]  # the writers' phrases deserve short codes, too
    tokenizer = train_tokenizer(
        texts[:10000] + [message["content"] for row in dialogs for message in row["messages"]]
    )
    blocks = blocks_of(tokenizer, texts)
    model = new_model(len(tokenizer))
    print(
        f"{blocks.numel():,} tokens of raw text, vocabulary {len(tokenizer)}, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )
    model.train()
    pretrain(model, blocks, STEPS, LEARNING_RATE, seed)
    pretrain(model, blocks_of(tokenizer, build.archive(seed=seed)), LAST_STEPS, LAST_LEARNING_RATE, seed)
    model.eval()
    model.generation_config.eos_token_id = [0, 2]
    model.generation_config.pad_token_id = 0
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)
