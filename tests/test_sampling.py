"""Sampling: seeds, order, ends, and ids that stay what they were."""

import pytest
import torch

from prefnb import data, sampling
from prefnb.batches import end_of_turn_id, prompt_ids
from prefnb.models import load_model
from prefnb.sampling import OneDraw, _cut, sample

PROMPTS = [
    [{"role": "user", "content": text}]
    for text in ("Hi", "Tell me about the river and the heron that lives there", "Why?")
]


def test_same_seed_same_samples_and_the_global_state_is_left_alone(model, tokenizer):
    """Sampling is seeded by its argument, and does not disturb whoever else draws random numbers."""
    torch.manual_seed(1)
    first = sample(model, tokenizer, PROMPTS, max_new_tokens=8, seed=3)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    assert sample(model, tokenizer, PROMPTS, max_new_tokens=8, seed=3) == first
    assert sample(model, tokenizer, PROMPTS, max_new_tokens=8, seed=4) != first


def test_greedy_is_the_argmax_of_each_prompt_alone(model, tokenizer):
    """Sorting and left-padding must not change or permute what each prompt is answered."""
    drawn = sample(model, tokenizer, PROMPTS, temperature=0, max_new_tokens=4)
    for prompt, got in zip(PROMPTS, drawn):
        ids = prompt_ids(tokenizer, prompt)
        for token in got.ids:
            with torch.no_grad():
                assert model(input_ids=torch.tensor([ids])).logits[0, -1].argmax() == token
            ids.append(token)


def test_k_samples_come_prompt_by_prompt(model, tokenizer):
    """The K samples of a prompt stand in a row: with near-greedy sampling they all begin like its greedy answer."""
    greedy = sample(model, tokenizer, PROMPTS, temperature=0, max_new_tokens=2)
    drawn = sample(model, tokenizer, PROMPTS, temperature=1e-4, samples=3, max_new_tokens=2)
    assert [one.ids for one in drawn] == [one.ids for one in greedy for _ in range(3)]


def test_what_follows_the_first_end_token_is_not_the_response(tokenizer):
    """Text after the end must not be scored; the end token itself stays, as the model chose it."""
    end = end_of_turn_id(tokenizer)
    word = tokenizer.encode("river", add_special_tokens=False)
    assert _cut([*word, end, *word, end], [end], tokenizer) == (word + [end], "river", True)
    assert _cut(word, [end], tokenizer) == (word, "river", False)


def test_beams_find_a_likelier_answer_than_greedy(model, tokenizer):
    """Beam search of width 4 must not be less likely than greedy under the model (equal lengths: nothing ends here)."""

    def total(one, prompt):
        ids = torch.tensor([prompt_ids(tokenizer, prompt) + one.ids])
        with torch.no_grad():
            logp = model(input_ids=ids).logits.log_softmax(-1)[0]
        start = ids.shape[1] - len(one.ids)
        return sum(float(logp[start + t - 1, token]) for t, token in enumerate(one.ids))

    greedy, beams = (sample(model, tokenizer, PROMPTS, temperature=0, max_new_tokens=3, beams=b) for b in (1, 4))
    same_length = [i for i in range(3) if len(greedy[i].ids) == len(beams[i].ids)]
    assert same_length
    for i in same_length:
        assert total(beams[i], PROMPTS[i]) >= total(greedy[i], PROMPTS[i]) - 1e-4


def test_several_greedy_samples_are_refused(model, tokenizer):
    """K equal answers are a mistake, not a sample."""
    with pytest.raises(ValueError, match="temperature above 0"):
        sample(model, tokenizer, PROMPTS, temperature=0, samples=2)


def test_k_samples_take_one_pass_over_the_prompt(model, tokenizer, monkeypatch):
    """A prompt is read once, not once for each of its samples, and each is drawn as if it had been read for it alone."""
    prompts = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS]
    seen, forward = [], model.base_model.forward

    def counted(*args, **given):
        seen.append(given["input_ids"].numel())
        return forward(*args, **given)

    monkeypatch.setattr(model.base_model, "forward", counted)
    drawn = sample(model, tokenizer, prompts, samples=4, temperature=1.0, max_new_tokens=6)
    width = max(map(len, prompts))
    assert seen[:2] == [3 * (width - 1), 12] and set(seen[1:]) == {12}
    apart = sample(model, tokenizer, [ids for ids in prompts for _ in range(4)], temperature=1.0, max_new_tokens=6)
    assert sorted(one.ids for one in drawn) == sorted(one.ids for one in apart)


def test_responses_that_have_ended_leave_the_batch_and_change_nothing(tokenizer, monkeypatch):
    """Guards the stages: the memory of rows that go on must be theirs, and rows that ended must not be sampled on."""
    model = load_model("pocket")  # random models say one word over and over
    prompts = [tokenizer.encode(row["response"])[:8] for row in data.load_dialogs(limit=10)]  # plain text, its own kind
    said = [one.ids for one in sample(model, tokenizer, prompts, temperature=0, max_new_tokens=40)]
    common = max({i for ids in said for i in ids}, key=lambda i: len({ids.index(i) for ids in said if i in ids}))
    monkeypatch.setattr(sampling, "end_of_turn_id", lambda tokenizer: common)  # ends that come at different places
    sizes, generate = [], model.generate
    monkeypatch.setattr(model, "generate", lambda **given: sizes.append(len(given["input_ids"])) or generate(**given))
    drawn = []
    for stage in (7, 100):
        monkeypatch.setattr(sampling, "STAGE", stage)
        drawn.append(sample(model, tokenizer, prompts, temperature=0, max_new_tokens=40))
    assert drawn[0] == drawn[1] and len({len(one.ids) for one in drawn[0]}) > 1
    assert sizes[0] == len(prompts) and sizes[-2] < len(prompts)
    assert max(len(one.ids) for one in drawn[0]) <= 40


def test_one_draw_has_the_frequencies_of_the_softmax():
    """20,000 draws against the probabilities themselves (four standard errors); what cannot be said never is."""
    probabilities, n = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.15, 0.05, 0.0]), 20_000
    torch.manual_seed(0)
    left = OneDraw()(None, probabilities.log().expand(n, -1))
    assert (left.isfinite().sum(1) == 1).all()
    shares = left.argmax(1).bincount(minlength=7) / n
    assert (shares[probabilities == 0] == 0).all()
    assert ((shares - probabilities).abs() <= 4 * (probabilities * (1 - probabilities) / n).sqrt()).all()


def test_temperature_and_nucleus_shape_the_first_token(model, tokenizer):
    """2,000 first tokens against softmax(logits / temperature), cut to the fewest that hold half of it."""
    prompt = prompt_ids(tokenizer, PROMPTS[0])
    with torch.no_grad():
        chance = (model(input_ids=torch.tensor([prompt])).logits[0, -1] / 0.3).softmax(-1).sort(descending=True)
    kept = int((chance.values.cumsum(0) < 0.5).sum()) + 1
    drawn = sample(model, tokenizer, [prompt], temperature=0.3, top_p=0.5, samples=2000, max_new_tokens=1)
    shares = torch.tensor([one.ids[0] for one in drawn]).bincount(minlength=len(chance.values)) / 2000
    assert shares[chance.indices[kept:]].sum() == 0
    want = chance.values[:kept] / chance.values[:kept].sum()
    assert ((shares[chance.indices[:kept]] - want).abs() < 4 * (want * (1 - want) / 2000).sqrt() + 1e-9).all()


def test_a_diverged_model_is_refused_in_one_sentence(model, tokenizer):
    """NaN weights must not become an index error from deep inside, or random words."""
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="have diverged"):
        sample(model, tokenizer, PROMPTS, max_new_tokens=2)
