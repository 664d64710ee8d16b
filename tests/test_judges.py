from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from prefnb import judges, models, parameters, pocket
from prefnb.judges import GoldJudge, Scores, score_samples


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def prompts():
    return [ask(text) for text in pocket.generate_prompts("math", n=4, seed=1)]


def test_the_judge_reads_the_last_user_turn_only(prompts):
    """An earlier exchange, or a system message, must not change what is judged."""
    system, reply = {"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "Hi."}
    earlier = [system, *ask("Hello?"), reply]
    responses = ["I think it is 12."] * len(prompts)
    alone, after = GoldJudge()(prompts, responses), GoldJudge()([earlier + p for p in prompts], responses)
    np.testing.assert_array_equal(alone.total, after.total)


def test_scores_line_up_with_their_responses(prompts):
    """Totals and parts must be those of pocket.score, in the order given."""
    responses = ["", "12.", "I was trained on 12 things.", "the the the the"]
    scores = GoldJudge()(prompts, responses)
    for i, (prompt, response) in enumerate(zip(prompts, responses)):
        expected = pocket.score(prompt[-1]["content"], response)
        assert scores.total[i] == expected.total
        assert {name: part[i] for name, part in scores.parts.items()} == {
            name: getattr(expected, name) for name in ("helpfulness", "fluency", "concision", "honesty")
        }


def test_flaws_line_up_with_their_responses(prompts):
    """The share of boilerplate is counted from these flags."""
    flaws = GoldJudge().flaws(prompts[:2], ["12 pears.", "12 pears. I was trained on pears."])
    assert flaws["boilerplate"].tolist() == [False, True]
    assert set(flaws) == {"disfluent", "rambling", "boilerplate", "incomplete"}


def test_rows_of_scores_keep_parts_with_their_total():
    """Choosing rows must choose them in every part."""
    scores = Scores(np.array([1.0, 2.0, 3.0]), {"fluency": np.array([0.1, 0.2, 0.3])})
    chosen = scores[np.array([False, True, True])]
    assert chosen.total.tolist() == [2.0, 3.0] and chosen.parts["fluency"].tolist() == [0.2, 0.3]


@pytest.mark.parametrize(
    "n, responses, message",
    [
        (2, ["a"], "2 prompts and 1 responses"),
        (1, "a", "one string"),
        (1, [None], "Response 0 is a NoneType"),
    ],
)
def test_mismatched_input_is_refused_before_scoring(prompts, n, responses, message):
    """zip would silently drop the rest, and a bare string be scored letter by letter."""
    with pytest.raises(ValueError, match=message):
        GoldJudge()(prompts[:n], responses)


def test_a_prompt_without_a_user_turn_is_refused():
    """There is nothing to judge a response against."""
    with pytest.raises(ValueError, match="user turn"):
        GoldJudge()([[{"role": "system", "content": "x"}]], ["y"])


def test_the_samples_of_a_prompt_keep_their_places():
    """Scores of K draws as (prompts, K), parts too; a list that does not share out would shift every score after it."""
    prompts = [ask(text) for text in ("a", "b", "c")]
    samples = [SimpleNamespace(text="x" * n) for n in range(6)]
    judge = lambda asked, texts: Scores(  # noqa: E731
        np.array([float(len(text)) for text in texts]), {"place": np.array([ord(p[0]["content"]) for p in asked])}
    )
    found = score_samples(judge, prompts, samples)
    assert found.total.tolist() == [[0, 1], [2, 3], [4, 5]] and len(found) == 3
    assert found.parts["place"].tolist() == [[97, 97], [98, 98], [99, 99]]
    assert found[[2, 0]].total.tolist() == [[4, 5], [0, 1]]
    with pytest.raises(ValueError, match="5 samples of 3 prompts"):
        score_samples(judge, prompts, samples[:5])


def test_a_judge_is_found_by_its_name(monkeypatch, tmp_path):
    """Guards against one judge's verdict told as another's, and a proxy trained where nobody asked for it."""
    gold, proxy = GoldJudge(), judges.Brevity()
    never = lambda: pytest.fail("made a proxy")  # noqa: E731
    assert judges.named(None, gold, never) is judges.named("gold", gold, never) is gold
    assert judges.named(None, None, never) is None and judges.named("proxy", gold, lambda: proxy) is proxy
    with pytest.raises(parameters.ParameterError, match="'gold' needs the pocket world"):
        judges.named("gold", None, never)
    for load in ("load_reward_model", "load_tokenizer"):
        monkeypatch.setattr(judges.reward_models.models, load, lambda *_, **__: mock.MagicMock())
    (tmp_path / "kind").mkdir()
    assert judges.named(str(tmp_path / "kind") + "/", gold, never).name == "kind"
    assert judges.named("owner/kind", gold, never).name == "owner/kind"


class Served(judges.RemoteRewardModel):
    """A remote judge whose answers are there already: the number of letters in the last message."""

    def __init__(self):
        super().__init__("https://host/v1", "owner/model")

    def _answers(self, dialogs, read):
        return np.array([read(f"reward:{len(dialog[-1]['content'])}") for dialog in dialogs], dtype=float)


ALL = {
    "gold": lambda policy, tokenizer: GoldJudge(),
    "brevity": lambda policy, tokenizer: judges.Brevity(),
    "proxy": lambda policy, tokenizer: judges.RewardModel(models.reward_model_from(policy, tokenizer), tokenizer),
    "remote": lambda policy, tokenizer: Served(),
    "probability": lambda policy, tokenizer: judges.Probability(Served()),
    "several": lambda policy, tokenizer: judges.Several({"a": judges.Brevity(), "b": judges.Probability(Served())}),
    "combined": lambda policy, tokenizer: judges.Combined(GoldJudge(), lambda parts: sum(parts.values())),
}


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_every_judge_keeps_to_the_one_interface(make, model, tokenizer, prompts):
    """Whoever asks need not know whom: a name for sentences, the width of a tie, one finite score for each response, at
    its own place, whoever else is asked about; none for none; and refusals alike."""
    judge, responses = make(model, tokenizer), ["It is 12.", "", "I was trained on 12 things, and on pears.", "No."]
    found = judge(prompts, responses)
    assert isinstance(judge.name, str) and judge.name and judge.tie >= 0
    assert isinstance(found, Scores) and found.total.shape == (4,) and np.isfinite(found.total).all()
    assert all(part.shape == (4,) for part in found.parts.values()) and len(set(found.total)) > 1
    backwards = judge(prompts[::-1], responses[::-1])
    np.testing.assert_allclose(backwards.total[::-1], found.total, atol=1e-5)
    np.testing.assert_allclose(judge(prompts[2:3], responses[2:3]).total, found.total[2:3], atol=1e-5)
    assert len(judge([], [])) == 0
    with pytest.raises(ValueError, match="4 prompts and 1 responses"):
        judge(prompts, responses[:1])
    several = score_samples(judge, prompts[:2], [SimpleNamespace(text=text) for text in responses])
    assert several.total.shape == (2, 2)
