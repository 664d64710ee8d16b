"""Benchmarks: that both libraries get the same work, and that the table divides what it says."""

from benchmarks import qwen
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
