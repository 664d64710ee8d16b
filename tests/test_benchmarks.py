"""Benchmarks: that both libraries get the same work, and that the tables divide what they say."""

from benchmarks import qwen, sampling
from prefnb.batches import tokenize


def test_rows_have_exactly_the_tokens_that_are_promised(tokenizer):
    """Lengths differ by no token: otherwise time and memory would depend on whose padding is better."""
    examples = tokenize(qwen.rows(tokenizer, 3), tokenizer)
    assert {len(ids) for ids in examples.prompt_ids} == {qwen.PROMPT}
    assert {len(ids) for responses in examples.responses.values() for ids in responses} == {qwen.RESPONSE}
    assert len(examples) == 3


def test_the_share_is_of_what_training_needs_beyond_its_state():
    """With 100 million parameters the state is 1.6 GB: 2.6 against 4.1 GB is 1.0 by 2.5."""
    run = dict(step=2.0, first=0.7, last=0.6)
    text = qwen.table({"prefnb": {**run, "peak_gb": 2.6}, "trl": {**run, "peak_gb": 4.1}}, 10**8, 2, 1e13)
    row = [cell.strip() for cell in text.splitlines()[2].split("|")]
    assert row[1:7] == ["prefnb", "2", "1,024", "2.60", "1.00", "0.40"]
    assert row[9] == "6%"  # 6 x 1e8 x 1024 by 1e13


def test_sampling_is_told_in_tokens_by_the_median_second():
    """60 tokens in 1, 2 and 9 seconds are 30 a second, and twice that is a ratio of 2."""
    seconds = {"written out": [0.5, 1.0, 1.5], "generate": [9.0, 2.0, 1.0]}
    text = sampling.table({"greedy": dict(seconds=seconds, rows=4, tokens=60, differ=1)})
    row = [cell.strip() for cell in text.splitlines()[2].split("|")]
    assert row[1:6] == ["greedy", "60", "30", "2.00", "1 of 4"]
