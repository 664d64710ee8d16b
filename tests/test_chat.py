"""Chat side by side: each answer has its own scores with the reasons for them, and nothing that is typed or said is markup."""

import pytest
from conftest import random_model

from prefnb import chat, data, pocket

ROW = data.Source("pocket").prompts("test")[0]
PROMPT, GOOD = ROW["prompt"][-1]["content"], ROW["reference"]


def test_scores_and_reasons_are_the_judge_s():
    """A careful answer beside one that says nothing of what was asked: every part right, every part missing."""
    shown = chat.cards(PROMPT, {"careful": GOOD, "empty": "Well, well."})
    first, second = shown.split("min-width:13em")[1:]
    parts = pocket.explained(PROMPT, GOOD)
    assert len(parts) > 1 and all(f"{name}: right" in first for name, _, _ in parts) and f"<b>{pocket.score(PROMPT, GOOD).total:.1f}</b>" in first
    assert all(f"{name}: missing" in second for name, _, _ in parts) and "helpfulness 0.00" in second


def test_what_is_typed_or_said_is_no_markup_and_an_unknown_prompt_is_said_to_be_one():
    """A prompt or an answer that is run as HTML; scores for a question of which the judge knows nothing."""
    shown = chat.cards("<b>Who</b> won the election?", {"SFT": "<script>1</script>"})
    assert "<script>" not in shown and "<b>Who" not in shown
    assert "No request of the pocket world" in shown and "of 10" not in shown


@pytest.mark.parametrize("prompt, asked", [("", False), ("   ", False), (PROMPT, True), ("x " * 5000, True)])
def test_every_policy_answers_whatever_is_typed(tokenizer, prompt, asked):
    """Nothing typed, or a page of it, which is longer than the model's window."""
    policies = {name: random_model(tokenizer, seed) for seed, name in enumerate(("SFT", "DPO"))}
    said = chat.answers(policies, tokenizer, prompt)
    assert list(said) == (["SFT", "DPO"] if asked else [])
    assert ("Type a prompt" in chat.cards(prompt, said)) == (not asked)
