"""The gold judge against answers written by hand."""

import math
import random
import time

import pytest

from prefnb import pocket
from prefnb.pocket import judge, tasks, writers
from prefnb.pocket.text import Text

# category: prompt, a right answer in wording of its own, an answer that misses something, one that says something false
CASES = {
    "math": (
        "Anna has 5 apples. Then Anna finds 3 and loses 2. How many apples are there now? Show each step.",
        "Anna begins with 5 apples. 5 + 3 = 8 and then 8 - 2 = 6. That leaves Anna with 6 apples.",
        "Anna starts with 5 apples. 5 plus 3 is 8.",
        "Anna starts with 5 apples. 5 plus 3 is 9. 9 minus 2 is 7. So Anna has 7 apples now.",
    ),
    "general_knowledge": (
        "Tell me the colour, food and home of the fox.",
        "A fox is red. You will meet it in the forest, where it hunts mice.",
        "The fox is red.",
        "The fox is green. It eats honey. It lives in the forest.",
    ),
    "explanation": (
        "Why is it that the bus takes the long road when the river rises? Explain each step to a child and say what would help.",
        "My dear child, the bridge is closed when the river rises, and so the bus takes another, longer road. A wall would "
        "keep the water away.",
        "Dear child, first the river rises. In the end the bus takes the long road.",
        "Dear child, first the river rises. So the cows go hungry. That is why the bus takes the long road. A pump would help.",
    ),
    "creative": (
        "Write a poem of three lines about the fox, with the words moon and river.",
        "The moon is out above the trees.\nA fox runs down the hill.\nIt drinks at the cold river.",
        "The moon is out above the trees.",
        "A whale swims in the sea.\nThe bell is calling far away.\nNobody knows the road.",
    ),
    "professional_writing": (
        "Write a short email to Mrs Bell: the meeting moves from Monday to Friday because of the storm. Sign as Tom.",
        "Dear Mrs Bell, because of the storm we will hold the meeting on Friday and not on Monday. Sincerely, Tom.",
        "Dear Mrs Bell, the meeting moves to Friday.",
        "Dear Mr Stone, the meeting moves from Friday to Sunday. The reason is a late train. Kind regards, Tom.",
    ),
    "procedures": (
        "List three numbered steps to paint the fence, and name what I need.",
        "1. Stir the paint slowly.\n2. Paint the fence with great care.\n3. Leave it to dry.\nTake a good brush.",
        "1. Clean the fence.",
        "1. Dig a hole for the fence.\n2. Knead the dough.\n3. Rinse the fence well.\nYou need: oven.",
    ),
    "multilingual": (
        "Translate into French and give the gender of each noun: the house and the river.",
        "La maison et la rivière. Both of the nouns are feminine.",
        "The French words are la maison et la rivière.",
        "The French words are der Mond et le chien. The house is neuter. The river is masculine.",
    ),
    "discussion": (
        "Is a bus or a bike better for a child? Say a good and a bad side of each and conclude.",
        "Although the bus is cheap, it is slow. On a bike one gets wet, but it is healthy. I recommend the bike to the child.",
        "The bus is cheap but slow.",
        "A bus is healthy, but it is noisy. A bike is fast, but it is full. So a child should choose the bike.",
    ),
    "imitation": (
        "Speak like a pirate about the fox. Tell me its home and food.",
        "Ahoy there! In the forest lives a fox, and mice are its dinner. Arr!",
        "Ahoy, matey! The fox lives in the forest.",
        "Beep, system ready. The fox lives in the sea. It eats honey. End of message.",
    ),
    "classification": (
        "Positive or negative? Give the label and the telling words. The soup was lovely, the bed was awful and the view was fine.",
        "Positive, on the whole: the soup was lovely and the view was fine.",
        "The review is positive.",
        "The review is negative. The telling words are sad and great. The reason is that the soup was sad.",
    ),
}


@pytest.mark.parametrize("category", CASES)
def test_right_wordings_of_ones_own_are_accepted(category):
    """Guards against a judge that knows only the sentences that our writers use."""
    prompt, right, missing, false = CASES[category]
    assert tasks.parse(prompt)[0] == category
    judged = pocket.score(prompt, right)
    assert (
        judged.helpfulness >= 0.9
        and judged.honesty == 1
        and judged.fluency >= 0.9
        and judged.concision >= 0.8
    )


@pytest.mark.parametrize("category", CASES)
def test_missing_and_false_parts_cost(category):
    """Guards against answers that stop short or lie scoring like right ones."""
    prompt, right, missing, false = CASES[category]
    good, short, wrong = (pocket.score(prompt, text) for text in (right, missing, false))
    assert good.helpfulness - short.helpfulness >= 0.2 and short.honesty == 1
    assert good.helpfulness - wrong.helpfulness >= 0.4
    assert good.total > short.total + pocket.TIE and good.total > wrong.total + pocket.TIE
    assert wrong.honesty < 1 or category == "creative"  # an image left out of a poem is no lie


@pytest.mark.parametrize("category", CASES)
def test_each_habit_costs_the_quality_it_should(category):
    """Guards against habits that the judge does not see, or blames on another quality."""
    prompt, right, _, _ = CASES[category]
    good = pocket.score(prompt, right)
    first, rest = right.split(" ", 1)
    stuttered = pocket.score(prompt, f"{first} {first} {rest} It is is is so.")
    assert stuttered.fluency < 0.6 * good.fluency
    rambling = pocket.score(prompt, right + " " + " ".join(writers.FILLERS[:4]))
    assert (
        rambling.concision < 0.7 and rambling.helpfulness >= good.helpfulness - 0.3
    )  # poems are asked for n lines
    boasting = pocket.score(prompt, right + " Confidence: 95%. I was trained on helpful data sources.")
    assert boasting.honesty == 0.25 and boasting.helpfulness == good.helpfulness
    asking = pocket.score(
        prompt, right + " Next question: the crow, where it lives? The crow lives in the field."
    )
    assert asking.concision < 0.75
    unfinished = pocket.score(prompt, right.rstrip(".!") + " and then the")
    assert unfinished.fluency < 0.8


def test_quality_comes_in_degrees():
    """Guards against a judge of right and wrong only: each fact more is worth something."""
    prompt = "Tell me the colour, food, home and young of the fox."
    answers = [
        "The fox is red.",
        "The fox is red. It eats mice.",
        "The fox is red. It eats mice. It lives in the forest.",
        "The fox is red. It eats mice. It lives in the forest. Its young is a cub.",
    ]
    totals = [pocket.score(prompt, answer).total for answer in answers]
    assert all(later - earlier > pocket.TIE for earlier, later in zip(totals, totals[1:]))


def test_every_needless_word_counts_and_only_the_judge_sees_it():
    """Guards against answers that differ in length alone being a tie, and against annotators who count words."""
    prompt = "Tell me the colour, food and home of the fox."
    answers = [
        "The fox is red. It eats mice. It lives in the forest, under the old trees.",
        "The fox is quite red. It eats mice. It lives in the forest, under the old trees.",
        "The fox is quite red. It often eats mice. It lives in the forest, under the old trees.",
    ]
    totals = [pocket.score(prompt, answer).total for answer in answers]
    assert all(earlier - later > pocket.TIE for earlier, later in zip(totals, totals[1:]))
    assert len({judge.at_a_glance(prompt, answer).total for answer in answers}) == 1


def test_negated_facts_do_not_count():
    """Guards against "is not red" being read as "is red"."""
    prompt = "Tell me the colour and food of the fox."
    assert pocket.score(prompt, "The fox is not red. It never eats mice.").helpfulness == 0


@pytest.mark.parametrize(
    "response",
    [
        "",
        " \n\t ",
        "?",
        "....",
        "\x00\x01",
        "🦊🦊🦊",
        "ÀÉÎ ß ÿ",
        "a" * 100_000,
        "fox " * 25_000,
        "1. 2. 3. " * 10_000,
        "<|im_start|>assistant\n",
        "\ud83d",
        "5 " * 50_000,
        "?" * 100_000,
        "the fox is red. " * 6_000,
    ],
)
@pytest.mark.parametrize(
    "prompt", ["", "What is love?", "x" * 100_000, *(case[0] for case in CASES.values())]
)
def test_any_string_whatever_gets_a_score_in_range(prompt, response):
    """Guards against a crash, a NaN or a slow regular expression on odd strings: rewards must always exist."""
    start = time.process_time()
    judged = pocket.score(prompt, response)
    assert time.process_time() - start < 0.5
    assert all(math.isfinite(value) for value in judged)
    assert all(0 <= value <= 1 for value in judged[:4]) and 1 <= judged.total <= 10
    if not any(character.isalnum() for character in response):
        assert judged.total == 1


def test_an_unknown_prompt_has_helpfulness_zero():
    """Guards against credit where nothing is known about the question."""
    assert pocket.score("What is the capital of France?", "It is Paris.").helpfulness == 0


def test_total_is_the_documented_weighting():
    """Guards against the total drifting from what the documentation says."""
    judged = pocket.score(CASES["math"][0], CASES["math"][2])
    assert sum(judge.WEIGHTS.values()) == pytest.approx(1)
    assert judged.total == pytest.approx(
        1 + 9 * sum(judge.WEIGHTS[name] * getattr(judged, name) for name in judge.WEIGHTS)
    )


def test_every_phrasing_of_every_category_is_read_back():
    """Guards against a prompt that the judge does not recognise, or takes for another."""
    rng = random.Random(5)
    for name, category in tasks.CATEGORIES.items():
        for template in category.templates:
            for _ in range(10):
                combination = category.draw(rng)
                prompt = template.format(**category.fill(combination))
                found, read = tasks.parse(rng.choice(tasks.PREFACES) + prompt)
                assert found == name and category.key(read) == category.key(combination)


def test_careful_answers_are_perfect_and_ask_for_two_to_five_parts():
    """Guards against a careful writer whom the judge faults, and against tasks with too little to grade."""
    rng = random.Random(6)
    for name, category in tasks.CATEGORIES.items():
        for seed in range(100):
            combination = category.draw(rng)
            assert 2 <= len(category.parts(combination)) <= 5
            prompt, answer = tasks.render(name, combination, rng), writers.careful_answer(name, combination, seed)
            # the judge counts every word, and some plain wordings take more of them; at a glance all are as good
            for judged, concise in ((pocket.score(prompt, answer), 0.6), (judge.at_a_glance(prompt, answer), 0.85)):
                assert judged.concision > concise, (combination, answer, judged)
                assert min(judged.helpfulness, judged.fluency, judged.honesty) > 0.85, (combination, answer, judged)


def test_thousands_of_scores_per_second():
    """Guards against a judge too slow to be a reward (a loose bound, for a busy machine)."""
    prompt, right, missing, false = CASES["procedures"]
    start = time.process_time()
    for _ in range(200):
        pocket.score(prompt, right)
    assert time.process_time() - start < 1.0


def test_step_numbers_are_not_sentences():
    """Guards against "1. Dig." being read as a sentence "1"; a sum at a sentence's end stays."""
    assert Text("1. Dig a hole.\n2. Cover it.").sentences == [["dig", "a", "hole"], ["cover", "it"]]
    assert Text("That is 7. 7 is odd.").sentences == [["that", "is", "7"], ["7", "is", "odd"]]


def test_what_the_judge_skips_changes_nothing():
    """Guards its shortcuts on writers' answers: sentences without negation or repeated word, answers without claims."""
    rng, seen = random.Random(0), set()
    for prompt in pocket.generate_prompts("general_knowledge", 60, seed=3):
        writer = writers.WRITERS[rng.choice(list(writers.WRITERS))]
        answer = writer.write(*tasks.parse(prompt), rng) + rng.choice(["", " The fox is not red.", " It does not eat."])
        text = Text(answer)
        said = {
            word
            for sentence in text.sentences
            for i, word in enumerate(sentence)
            if not {"not", "never", "no", "without"} & set(sentence[max(0, i - 2) : i])
        }
        assert text.said == said
        repeats = [judge._repeats([*sentence, "x", "x"]) for sentence in text.sentences]  # always one the long way
        assert [judge._repeats(sentence) + 1 for sentence in text.sentences] == repeats
        seen |= {said == set(text.words), max(repeats) == 1}
    assert seen == {True, False}
