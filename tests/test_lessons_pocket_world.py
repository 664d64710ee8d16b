"""What notebook 00 says of its figures: tables by hand, and every sentence in each of its branches."""

import numpy as np
import pytest

from prefnb import pocket
from prefnb.judges import GoldJudge, Scores
from prefnb.lessons import pocket_world as lesson

FOX = "Describe the fox. Mention what colour it has, where it lives and what it eats."
NAMES = [f"Prompt {i}" for i in range(4)]


def scores(total, **parts):
    """Scores of two answers, each with the same total and parts."""
    qualities = dict.fromkeys(lesson.QUALITIES, 1.0) | parts
    return Scores(np.full(2, float(total)), {name: np.full(2, part) for name, part in qualities.items()})


def test_parts_tell_a_lie_from_a_gap():
    """A false part counted as left out, or the other way round."""
    rows, false, missing = lesson.parts_table(FOX, {
        "right": "The fox is red. It lives in the forest and eats mice.",
        "lie": "The fox is green. It lives in the forest and eats mice.",
        "gap": "The fox is red. It lives in the forest.",
    })  # fmt: skip
    assert rows[0] == ["answer", "colour", "home", "food"] and rows[2] == ["lie", "0.00, false", "1.00", "1.00"]
    assert (false, missing) == (["lie"], ["gap"])


def test_flaws_are_shares_over_the_answers_to_each_prompt():
    """Answers in a row assigned to the wrong prompt."""
    stutter, right = "The fox is is red. It lives in in the forest and and eats mice.", "The fox is red. It lives in the forest and eats mice."
    prompts = [[{"role": "user", "content": FOX}]] * 2
    found = lesson.flaws_in(GoldJudge(), prompts, [stutter, right, right, right])
    assert found.shape == (2, len(pocket.FLAWS)) and found[:, pocket.FLAWS.index("disfluent")].tolist() == [0.5, 0.0]


def test_habits_are_named_by_the_lowest_quality():
    """The best writer among those with a habit, or a habit under the wrong quality."""
    said = lesson.habits_seen({"careful": scores(9.5), "rambling": scores(7, concision=0.2), "brief": scores(8, helpfulness=0.4)})
    assert "**The careful writer is best** (9.5), **the rambling one worst** (7.0)" in said
    assert "concision is lowest for rambling; helpfulness is lowest for brief." in said


@pytest.mark.parametrize("warm, words", [(0.1, "has the house style.** Disfluent: more"), (0.9, "no more flawed")])
def test_the_first_choice_has_the_style_only_if_it_has_more_of_its_flaws(warm, words):
    """A house style that is told whatever was measured."""
    shares = {"SFT, first choice": {"disfluent": 0.5, "rambling": 0.1}, "SFT at 0.7": {"disfluent": warm, "rambling": 0.1}}
    assert words in lesson.style_in_words(shares, scores(8), scores(8.5))


def test_noise_in_the_pairs_by_hand():
    """Flipped labels counted with the wrong sign, or looked for among the far pairs."""
    said = lesson.pairs_in_words(np.array([-0.1, 0.2, 3.0, 4.0]))
    assert said.startswith("**25.0% of the labels are flipped** (1 of 4;") and "100% of these" in said
    assert lesson.bradley_terry(0.0) == 0.5
    assert lesson.tenths_of(np.array([-1.0, 1.0])) == [(1.0, 0.5)]


def test_who_is_liked_is_chosen_less_rejected():
    """The lead of the rejected, or houses among the writers of pairs."""
    shares = {"demonstrations": lesson.shares_by_writer(["number-school", "careful"]),
              "chosen": lesson.shares_by_writer(["careful", "careful"]), "rejected": lesson.shares_by_writer(["hasty", "careful"])}  # fmt: skip
    assert shares["demonstrations"]["a house"] == 0.5
    said = lesson.who_is_liked(shares)
    assert said.index("careful (+50%)") < said.index("hasty (-50%)") and "a house" not in said
    assert lesson.who_wrote_figure(shares).get_suptitle() == "careful: 100% of chosen, 50% of rejected"


def test_hard_things_count_as_taught_only_above_chance():
    """A lesson learnt from one lucky prompt, or from what is not hard."""
    prompts = pocket.generate_prompts("math", n=60, seed=3)
    rows, taught = lesson.hard_table({"SFT": np.zeros(60), "DPO": np.ones(60)}, prompts, ["math"] * 60)
    assert [row[1] for row in rows[1:]] == ["long sums", "all else"] and taught == ["long sums"]
    assert lesson.hard_table({"SFT": np.ones(60), "DPO": np.ones(60)}, prompts, ["math"] * 60)[1] == []


def test_one_combination_in_two_wordings_is_one():
    """A wall that another order of words gets through."""
    one, other = "Tell me the colour and home of the fox.", "Describe the fox. Mention where it lives and what colour it has."
    assert lesson.combination(one) == lesson.combination(other) != lesson.combination(FOX)


def test_knowledge_in_words_and_picture_name_the_same_kinds():
    """A title that praises what the sentence blames."""
    shares = {"animals": (0.9, 10), "sums": (0.1, 20)}
    assert lesson.knowledge_figure(shares).get_suptitle() == "it completes 90% of animals, 10% of sums"
    assert "most of animals** (90% right) **and least of sums** (10%)" in lesson.knowledge_in_words(shares)
