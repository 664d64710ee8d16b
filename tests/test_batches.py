"""Token ids, masks and the order of batches."""

import json
from pathlib import Path

import pytest

from prefnb import data
from prefnb.batches import Batches, Examples, end_of_turn_id, from_samples, prompt_ids, tokenize

USER = [{"role": "user", "content": "Hello there"}]


def test_ids_and_mask_equal_a_hand_tokenised_dialog(tokenizer):
    """The prompt's ids, the response's ids and one end-of-turn token, all responses masked True, nothing else."""
    row = {"prompt": USER, "response": "Good morning."}
    batch = tokenize([row], tokenizer, ("response",)).batch([0])
    by_hand_prompt = tokenizer.encode(
        "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False
    )
    by_hand_response = tokenizer.encode("Good morning.", add_special_tokens=False) + [
        tokenizer.convert_tokens_to_ids("<|im_end|>")
    ]
    assert batch.input_ids[0].tolist() == by_hand_prompt + by_hand_response
    assert batch.response_mask[0].tolist() == [False] * len(by_hand_prompt) + [True] * len(by_hand_response)
    assert None not in by_hand_prompt


def test_prompt_ids_are_the_prefix_of_the_whole_dialog(tokenizer):
    """The prompt tokenised alone must be the beginning of prompt and answer tokenised together."""
    whole = tokenizer.apply_chat_template([*USER, {"role": "assistant", "content": "Hi."}], tokenize=False)
    ids = tokenizer.encode(whole, add_special_tokens=False)
    alone = prompt_ids(tokenizer, USER)
    assert ids[: len(alone)] == alone


def test_the_end_of_turn_is_learnt_and_is_not_the_padding(tokenizer):
    """A model that is not taught to stop never stops: the end token is in the loss, and differs from the pad token."""
    end = end_of_turn_id(tokenizer)
    assert tokenizer.convert_ids_to_tokens(end) == "<|im_end|>"
    assert end != tokenizer.pad_token_id
    batch = tokenize([{"prompt": USER, "response": "Hi."}], tokenizer, ("response",)).batch([0])
    assert batch.input_ids[batch.response_mask][-1] == end


def test_what_is_left_out_or_cut_is_counted(tokenizer, pairs, capsys):
    """Long prompts are dropped, long responses cut, pairs that become equal dropped: each counted and printed."""
    rows = [
        {"prompt": [{"role": "user", "content": "word " * 300}], "chosen": "a", "rejected": "b"},
        {"prompt": USER, "chosen": "same start " * 20 + "x", "rejected": "same start " * 20 + "y"},
        {"prompt": USER, "chosen": "long " * 40, "rejected": "short"},
    ]
    examples = tokenize(rows, tokenizer, max_prompt_tokens=100, max_response_tokens=10)
    assert examples.kept == [2]
    assert len(examples.responses["chosen"][0]) == 10
    assert len(examples.report) == 3 and all(line.startswith("1 of 3 rows") for line in examples.report)
    assert "longer than 100 tokens" in capsys.readouterr().out


def test_nothing_left_is_an_error(tokenizer):
    """Training on nothing must not start."""
    with pytest.raises(ValueError, match="No row is left.*longer than 2 tokens"):
        tokenize([{"prompt": USER, "chosen": "a", "rejected": "b"}], tokenizer, max_prompt_tokens=2)


def test_every_example_once_an_epoch_and_another_order_the_next(tokenizer, pairs):
    """Sorting by length must not lose, repeat or freeze what is seen."""
    batches = Batches(tokenize(pairs, tokenizer), 5, seed=3)
    first, second = ([i for batch in batches.plan(n) for i in batch] for n in (0, 1))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert batches.plan(0) == Batches(batches.examples, 5, seed=3).plan(0)
    assert len(batches) == len(batches.plan(0)) == 3


def test_pieces_hold_the_same_examples_as_the_whole_batch(tokenizer, pairs):
    """Accumulation cuts a batch up; it does not choose other examples."""
    examples = tokenize(pairs, tokenizer)
    whole = [pieces[0].index for pieces in Batches(examples, 4).epoch(0)]
    cut = [[piece.index for piece in pieces] for pieces in Batches(examples, 4, accumulation=4).epoch(0)]
    assert [sum(pieces, []) for pieces in cut] == whole
    assert all(len(pieces) == 4 for pieces in cut)


def test_samples_keep_their_ids():
    """Ids that were sampled go into the batch as they are, unmerged, with the temperature they were drawn at."""
    batch = from_samples([[5, 6], [7]], [[1, 1, 2], [3]], temperature=0.5)
    assert batch.input_ids.tolist() == [[5, 6, 1, 1, 2], [7, 3, 0, 0, 0]]
    assert batch.response_mask.tolist() == [[False, False, True, True, True], [False, True, False, False, False]]
    assert batch.temperature.tolist() == [0.5, 0.5]


def test_responses_share_their_prompt_and_do_not_see_each_other(tokenizer, pairs):
    """One row holds the prompt once and both responses; attention and positions are those of two separate dialogs."""
    examples = tokenize(pairs, tokenizer)
    batch = examples.batch([4])
    prompt, chosen, rejected = (len(x[4]) for x in (examples.prompt_ids, *examples.responses.values()))
    assert batch.tokens == prompt + chosen + rejected
    assert batch.position[0].tolist() == [*range(prompt + chosen), *range(prompt, prompt + rejected)]
    sees = batch.attention_mask()[0, 0]
    first_rejected = prompt + chosen
    assert sees[first_rejected].nonzero()[:, 0].tolist() == [*range(prompt), first_rejected]
    assert sees[prompt + 1].nonzero()[:, 0].tolist() == [*range(prompt + 2)]


def padding(examples, batch_size=16):
    """The share of an epoch's tokens that are padding."""
    batches = [piece for pieces in Batches(examples, batch_size).epoch(0) for piece in pieces]
    return sum(int((b.segment == -1).sum()) for b in batches) / sum(b.segment.numel() for b in batches)


def test_under_a_tenth_of_the_tokens_is_padding_on_pocket(tokenizer):
    """Time spent on padding is time wasted: like lengths must meet."""
    assert padding(tokenize(data.Source("pocket").pairs(limit=1000), tokenizer, quiet=True)) < 0.05


def test_under_a_tenth_of_the_tokens_is_padding_on_real_lengths():
    """UltraFeedback's lengths (four characters a token, cut as preset qwen cuts) are 48% padding in random order."""
    lengths = json.loads((Path(__file__).parent / "ultrafeedback_lengths.json").read_text())["lengths"]
    prompts, chosen, rejected = zip(*([max(1, n // 4) for n in row] for row in lengths if row[0] <= 4 * 512))
    ids = {"chosen": [[1] * min(n, 477) for n in chosen], "rejected": [[1] * min(n, 477) for n in rejected]}
    assert padding(Examples([[1] * n for n in prompts], ids, list(range(len(prompts))))) < 0.1
