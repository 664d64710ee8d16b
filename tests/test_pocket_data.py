"""What ships in data/: reproducible, disjoint, of the promised sizes, schemas and shapes."""

import collections
import dataclasses
import gzip
import json

import pytest

from prefnb import pocket
from prefnb.pocket import build, card, tasks, writers


def read(name):
    with gzip.open(pocket.DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def shipped():
    return {name: read(name) for name in build.SIZES}


def prompts_in(row):
    """All user prompts of a row of any of the files."""
    if "messages" in row:
        return [message["content"] for message in row["messages"] if message["role"] == "user"]
    return [row["prompt"]]


def keys_of(prompts):
    """The combinations behind prompts, as keys that no phrasing changes."""
    found = map(tasks.parse, prompts)
    return {tasks.CATEGORIES[category].key(combination) for category, combination in found}


@pytest.mark.parametrize("name", ["sft_train", "sft_test", "preferences_test", "prompts_test"])
def test_rebuilding_gives_the_shipped_bytes(name, tmp_path):
    """Guards against data that the generator in this checkout no longer makes."""
    build.write_gzip(tmp_path / "again.gz", build.as_text(build.rows_of(name)))
    assert (tmp_path / "again.gz").read_bytes() == (pocket.DATA / f"{name}.jsonl.gz").read_bytes()


def test_rebuilding_starts_with_the_shipped_pairs(shipped):
    """Guards the largest file in the same way, by its first 300 rows."""
    pairs = build.preferences("train", 300, build.rng_for("preferences_train"))
    assert list(pairs) == shipped["preferences_train"][:300]


def test_card_names_the_shipped_hashes(shipped):
    """Guards against a data card that describes other files."""
    text = (pocket.DATA / "README.md").read_text(encoding="utf-8")
    made = {name: (rows, build.digest(build.as_text(rows))) for name, rows in shipped.items()}
    assert all(sha in text for _, sha in made.values())
    assert text == card.data_card(made, build.SEED)


def test_vocabulary_is_that_of_the_world():
    """Guards against a word list left behind when facts or phrasings change."""
    words = set(build.world_words())
    assert words == pocket.judge.vocabulary()


def test_test_prompts_never_occur_in_training(shipped):
    """Guards against leakage, by text and by combination, into demonstrations or pairs."""
    train = [
        prompt for name in ("sft_train", "preferences_train") for row in shipped[name] for prompt in prompts_in(row)
    ]
    test = [
        prompt
        for name in ("sft_test", "preferences_test", "prompts_test")
        for row in shipped[name]
        for prompt in prompts_in(row)
    ]
    assert not set(train) & set(test)
    assert not keys_of(train) & keys_of(test)


def test_raw_text_holds_no_test_prompt(shipped):
    """Guards against leakage into the base model's raw text: prompts there are of training combinations only."""
    rng = build.rng_for("test of raw text")
    passages = [build.raw_passage(rng) for _ in range(4000)] + [build.archive_passage(rng) for _ in range(500)]
    lines = [line.removeprefix("Question: ") for passage in passages for line in passage.split("\n")]
    found = [tasks.parse(line) for line in lines if tasks.parse(line)]
    assert len(found) > 3500
    assert not any(tasks.is_test(category, combination) for category, combination in found)
    assert not {row["prompt"] for row in shipped["prompts_test"]} & set(lines)


def test_promised_sizes(shipped):
    """Guards against a world smaller than promised."""
    assert sum(tasks.count_prompts().values()) >= 20_000 and min(tasks.count_prompts().values()) > 2_000
    assert len(shipped["sft_train"]) >= 8000 and len(shipped["preferences_train"]) >= 8000
    assert len(shipped["prompts_test"]) >= 500
    per_category = collections.Counter(row["category"] for row in shipped["prompts_test"])
    assert set(per_category) == set(pocket.CATEGORIES) and min(per_category.values()) >= 40
    assert len({row["prompt"] for row in shipped["prompts_test"]}) == len(shipped["prompts_test"])
    sizes = [path.stat().st_size for path in pocket.DATA.glob("*.gz")]
    assert max(sizes) < 2e6
    assert sum(path.stat().st_size for path in (pocket.DATA / "base_model").iterdir()) <= 8e6


def test_counted_prompts_exist():
    """Guards against a count of combinations that the generator cannot reach: draws stay within it."""
    import random

    rng = random.Random(0)
    category = tasks.CATEGORIES["explanation"]
    keys = {category.key(category.draw(rng)) for _ in range(12_000)}
    assert len(keys) == category.count()


def test_dialogs_have_several_turns_and_a_long_tail(shipped):
    """Guards against demonstrations that are all alike in length."""
    turns = [len(row["messages"]) for row in shipped["sft_train"]]
    assert 0.1 < sum(n > 2 for n in turns) / len(turns) < 0.5 and max(turns) >= 8
    lengths = sorted(len(row["messages"][1]["content"].split()) for row in shipped["sft_train"])
    assert lengths[-1] > 3 * lengths[len(lengths) // 2]
    for row in shipped["sft_train"]:
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2)
        assert all(message["content"].strip() for message in row["messages"])


def test_careful_writers_are_not_the_plurality(shipped):
    """Guards against demonstrations so good that preferences have nothing to add."""
    written = collections.Counter(row["writer"] for row in shipped["sft_train"])
    assert set(written) == {*writers.WRITERS, *(house.name for house in pocket.HOUSES.values())}
    assert written["careful"] < 0.2 * len(shipped["sft_train"]) and written.most_common(1)[0][0] != "careful"


def test_most_demonstrations_of_a_category_come_from_its_house(shipped):
    """Guards against a model whose first choice has no style, and against sources that are not on record."""
    for category, house in pocket.HOUSES.items():
        rows = [row for row in shipped["sft_train"] if row["category"] == category]
        own = [row for row in rows if row["source"] == house.name]
        assert abs(len(own) / len(rows) - writers.HOUSE_SHARE) < 0.05 and writers.HOUSE_SHARE > 0.5
        assert all(row["writer"] == house.name for row in own)
        assert {row["source"] for row in rows} == {house.name, writers.MIXED}
        assert all(tasks.parse(prompt)[0] == category for row in own for prompt in prompts_in(row))
    assert len({house.name for house in pocket.HOUSES.values()}) == len(pocket.CATEGORIES)


def test_each_house_has_its_flaws_and_the_judge_sees_them(shipped):
    """Guards against a habit that costs nothing: a house's answers score lower than careful ones, for a reason on record."""
    habits = {"leave_out_the_last": "incomplete", "say_again": "disfluent", "close": "boilerplate"}
    habits |= {"be_certain": "boilerplate", "flatter": "boilerplate", "ask_oneself": "rambling"}
    for category, house in pocket.HOUSES.items():
        rng = build.rng_for(f"test of {house.name}")
        expected = {habits[habit.__name__] for habit in house.habits if habit.__name__ in habits}
        shown, lost = [], []
        for _ in range(40):
            combination = tasks.draw(category, rng)
            prompt = tasks.render(category, combination, rng)
            text = dataclasses.replace(house, mistakes=0.0).write(category, combination, rng)
            shown.append(expected <= pocket.flaws(prompt, text))
            careful = writers.careful_answer(category, combination)
            assert not pocket.flaws(prompt, careful)
            lost.append(pocket.score(prompt, careful).total - pocket.score(prompt, text).total)
        assert sum(shown) >= 32 and min(lost) > pocket.TIE


def test_no_preference_answer_comes_from_a_house(shipped):
    """Guards against preferences that are on-policy: who wrote them has not the style that the model learnt."""
    formulas = ("What a good question!", "Is that all?", "You ask about the")
    for row in shipped["preferences_train"]:
        for side in ("chosen", "rejected"):
            assert not any(formula in row[side][1]["content"] for formula in formulas)


def test_hard_prompts_are_asked_and_named(shipped):
    """Guards against a test without what stays hard, or with nothing else."""
    hard = collections.Counter()
    for row in shipped["prompts_test"]:
        category, combination = tasks.parse(row["prompt"])
        assert category == row["category"]
        hard[category] += tasks.CATEGORIES[category].is_hard(combination)
    assert {name for name, kind in tasks.CATEGORIES.items() if kind.hard} == {
        name for name, count in hard.items() if count
    }
    assert all(8 <= count <= 30 for count in hard.values() if count)


def test_pairs_carry_gold_scores_and_noise_on_record(shipped):
    """Guards against scores, flags or writers that do not belong to their answers."""
    for row in shipped["preferences_test"]:
        for side in ("chosen", "rejected"):
            assert row[side][0] == {"role": "user", "content": row["prompt"]}
            total = pocket.score(row["prompt"], row[side][1]["content"]).total
            assert row[f"score_{side}"] == pytest.approx(total, abs=0.006)
            assert row[f"writer_{side}"] in pocket.WRITERS
        assert row["flipped"] == (row["score_chosen"] < row["score_rejected"])
        assert row["chosen"] != row["rejected"]
    flipped = [row["flipped"] for row in shipped["preferences_train"]]
    assert 0.05 < sum(flipped) / len(flipped) < 0.3


def test_preferences_are_off_policy(shipped):
    """Guards against preference answers from the mix that wrote the demonstrations."""
    demonstrations = collections.Counter(row["writer"] for row in shipped["sft_train"])
    answers = collections.Counter(
        row[f"writer_{side}"] for row in shipped["preferences_train"] for side in ("chosen", "rejected")
    )
    distance = (
        sum(
            abs(demonstrations[name] / demonstrations.total() - answers[name] / answers.total())
            for name in pocket.WRITERS
        )
        / 2
    )
    assert distance > 0.15


def test_generated_prompts_are_new_distinct_and_outside_the_test():
    """Guards self-improvement against training on test combinations."""
    for category in pocket.CATEGORIES:
        prompts = pocket.generate_prompts(category, 50, seed=3)
        assert len(set(prompts)) == 50 and prompts == pocket.generate_prompts(category, 50, seed=3)
        assert not any(tasks.is_test(*tasks.parse(prompt)) for prompt in prompts)
    with pytest.raises(ValueError, match="the categories are math"):
        pocket.generate_prompts("maths", 1)


def test_test_split_does_not_depend_on_phrasing_or_order():
    """Guards against a combination that is training in one order of its parts and test in another."""
    one = {"language": "French", "one": "house", "two": "moon"}
    two = {"language": "French", "one": "moon", "two": "house"}
    assert tasks.is_test("multilingual", one) == tasks.is_test("multilingual", two)
    category = tasks.CATEGORIES["general_knowledge"]
    assert category.key({"thing": "fox", "asked": "home,food"}) == category.key({"thing": "fox", "asked": "food,home"})


def test_base_model_and_chat_form():
    """Guards against a base model that does not load, or another chat form than ChatML without a system prompt."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(pocket.DATA / "base_model")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text and ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>" and tokenizer.bos_token is None
    model = transformers.AutoModelForCausalLM.from_pretrained(pocket.DATA / "base_model")
    assert model.config.model_type == "qwen2" and model.config.vocab_size == len(tokenizer)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
