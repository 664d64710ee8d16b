"""Sampling: seeds, order, ends, ids that stay what they were, and two ways that say the same."""

import numpy as np
import pytest
import torch
from conftest import random_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from prefnb import data, decoding, sampling
from prefnb.batches import end_of_turn_id, prompt_ids
from prefnb.decoding import Decoder, can_decode, next_tokens
from prefnb.models import fingerprint, load_model
from prefnb.sampling import _cut, sample, uniform_numbers

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


@pytest.fixture(params=["written out", "generate"])
def way(request, monkeypatch):
    """Both ways of sampling, one after the other."""
    if request.param == "generate":
        monkeypatch.setattr(sampling, "can_decode", lambda model: False)
    return request.param


def test_k_samples_take_one_pass_over_the_prompt(model, tokenizer, monkeypatch, way):
    """A prompt is read once, not once for each sample, and each is drawn as if it had been read for it alone."""
    prompts = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS]
    seen, forward = [], model.base_model.forward

    def counted(*args, **given):
        seen.append(given["input_ids"].numel())
        return forward(*args, **given)

    monkeypatch.setattr(model.base_model, "forward", counted)
    drawn = sample(model, tokenizer, prompts, samples=4, temperature=1.0, max_new_tokens=6)
    width = max(map(len, prompts))
    if way == "generate":
        assert seen[:2] == [3 * (width - 1), 12] and set(seen[1:]) == {12}
    else:
        assert seen == [3 * width]
    apart = sample(model, tokenizer, [ids for ids in prompts for _ in range(4)], temperature=1.0, max_new_tokens=6)
    assert drawn == apart


def test_responses_that_have_ended_leave_the_batch_and_change_nothing(tokenizer, monkeypatch, way):
    """The memory of rows that go on must be theirs, and rows that ended must not be sampled on."""
    model = load_model("pocket")  # random models say one word over and over
    prompts = [tokenizer.encode(row["response"])[:8] for row in data.Source("pocket").dialogs(limit=10)]
    said = [one.ids for one in sample(model, tokenizer, prompts, temperature=0, max_new_tokens=40)]
    common = max({i for ids in said for i in ids}, key=lambda i: len({ids.index(i) for ids in said if i in ids}))
    monkeypatch.setattr(sampling, "end_of_turn_id", lambda tokenizer: common)  # ends that come at different places
    sizes, drawn = [], []
    generate, step = model.generate, Decoder._step
    monkeypatch.setattr(model, "generate", lambda **given: sizes.append(len(given["input_ids"])) or generate(**given))
    monkeypatch.setattr(
        Decoder, "_step", lambda self, tokens, memory: sizes.append(len(tokens)) or step(self, tokens, memory)
    )
    for stage, share in ((7, 0.01), (100, 2)):  # a share above 1: nobody leaves
        monkeypatch.setattr(sampling, "STAGE", stage)
        monkeypatch.setattr(decoding, "ENDED", share)
        drawn.append(sample(model, tokenizer, prompts, temperature=0, max_new_tokens=40))
        sizes.append(None)
    assert drawn[0] == drawn[1] and len({len(one.ids) for one in drawn[0]}) > 1
    first, second = sizes[: sizes.index(None)], sizes[sizes.index(None) + 1 : -1]
    assert first[-1] < first[0] <= len(prompts) and set(second) == {len(prompts)}
    assert max(len(one.ids) for one in drawn[0]) <= 40


@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_one_draw_has_the_frequencies_of_the_softmax(top_p):
    """20,000 draws against the probabilities themselves (four standard errors); what cannot be said never is."""
    chance, n = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.15, 0.05, 0.0]), 20_000
    uniform = torch.from_numpy(uniform_numbers(0, [1, 2], 0, n))
    tokens = next_tokens(3 * chance.log().expand(n, -1), uniform, 3.0, top_p)
    shares = tokens.bincount(minlength=7) / n
    if top_p < 1:
        chance = torch.tensor([0, 0.625, 0, 0.375, 0, 0, 0])  # the two that hold .7
    assert (shares[chance == 0] == 0).all()
    assert ((shares - chance).abs() <= 4 * (chance * (1 - chance) / n).sqrt()).all()


def test_random_numbers_belong_to_seed_prompt_and_sample():
    """Even in [0, 1), none like another's, and a longer response begins with a shorter one's numbers."""
    keys = [(0, [5, 6], 0), (1, [5, 6], 0), (0, [6, 5], 0), (0, [5], 6), (0, [5, 6], 1)]
    drawn = np.stack([uniform_numbers(*key, 4000) for key in keys])
    assert drawn.min() >= 0 and drawn.max() < 1
    assert np.abs(drawn.mean(1) - 0.5).max() < 4 / np.sqrt(12 * 4000)
    assert np.abs(np.corrcoef(drawn) - np.eye(len(keys))).max() < 4 / np.sqrt(4000)
    assert (uniform_numbers(*keys[0], 7) == drawn[0, :7]).all()


def test_company_and_order_change_no_sample(model, tokenizer, way):
    """A prompt's answers are its own, whatever stands in the batch beside it; the same prompt again gets others."""
    model.double()  # in float32 another batch rounds otherwise, which turns one token in many thousands
    settings = dict(temperature=1.0, samples=2, max_new_tokens=12)
    drawn = sample(model, tokenizer, PROMPTS, **settings)
    other = sample(model, tokenizer, [PROMPTS[2], PROMPTS[0], PROMPTS[2]], batch_size=4, **settings)
    assert other[:2] == drawn[4:] and other[2:4] == drawn[:2]
    assert len({tuple(one.ids) for one in other[:2] + other[4:]}) == 4


def llama(tokenizer, **settings):
    """A small random Llama: its own head; with and without biases and stretched positions."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.15,
        **settings,
    )
    return LlamaForCausalLM(config)


STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS = {
    "qwen2": lambda tokenizer: random_model(tokenizer),
    "llama": lambda tokenizer: llama(tokenizer),
    "llama, biases": lambda tokenizer: llama(
        tokenizer, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rope_parameters=STRETCHED
    ),
    "pocket": lambda tokenizer: load_model("pocket"),
}


@pytest.mark.parametrize("name", MODELS)
def test_decoding_written_out_says_what_generate_says(tokenizer, monkeypatch, name):
    """Token for token, with prompts of unequal length and rows that leave. In float64: in float32 the two round in
    different orders, which turns one token in many thousands."""
    model = MODELS[name](tokenizer).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms that are not just zeros and ones
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    assert can_decode(model)
    prompts = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS] + [[7]]
    for settings in (
        dict(temperature=0),
        dict(temperature=1.0, samples=3),
        dict(temperature=0.7, top_p=0.8, samples=2, batch_size=4),
    ):
        ours = sample(model, tokenizer, prompts, max_new_tokens=24, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(sampling, "can_decode", lambda model: False)
            theirs = sample(model, tokenizer, prompts, max_new_tokens=24, **settings)
        assert ours == theirs
        assert len({one.text for one in ours}) > 1


def test_decoding_follows_the_weights_and_leaves_them(model, tokenizer):
    """The joined weights are copies: a training step between two calls must be heard, and nothing is written back."""
    before = sample(model, tokenizer, PROMPTS, temperature=0, max_new_tokens=8)
    with torch.no_grad():
        for layer in model.base_model.layers:
            layer.mlp.up_proj.weight.neg_()
            layer.self_attn.v_proj.weight.neg_()
    after = fingerprint(model)
    assert sample(model, tokenizer, PROMPTS, temperature=0, max_new_tokens=8) != before
    assert fingerprint(model) == after


def test_decoding_in_bfloat16_products_says_likely_words(model, tokenizer):
    """Autocast as on a GPU: each greedy token must be within rounding of the likeliest by the float32 model."""
    ids = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS]
    with torch.autocast("cpu", torch.bfloat16):
        decoder = Decoder(model)
        assert {layer.gate_up[0].dtype for layer in decoder.layers} == {torch.bfloat16}
        uniform = torch.zeros(3, 6, dtype=torch.float64)
        said = decoder(ids, 1, uniform, temperature=0, top_p=1.0, ends=[-1], pad=0)
    for prompt, row in zip(ids, said):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + row])).logits[0, len(prompt) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(row)[:, None])[:, 0]
        assert (logits.max(1).values - chosen < 0.1 * logits.std(1)).all()


def test_what_is_not_written_out_is_left_to_generate(tokenizer):
    """A part that `Decoder` does not know must never be passed over in silence."""
    small = dict(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2)
    heads = dict(num_attention_heads=2, num_key_value_heads=2)
    window = dict(use_sliding_window=True, sliding_window=4, max_window_layers=1)
    growing = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    others = [
        Qwen3ForCausalLM(Qwen3Config(**small, **heads)),
        random_model(tokenizer),
        random_model(tokenizer),
        Qwen2ForCausalLM(Qwen2Config(**small, **heads, **window)),
        Qwen2ForCausalLM(Qwen2Config(**small, **heads, rope_parameters=growing)),
        Qwen2ForCausalLM(Qwen2Config(**small, **heads, hidden_act="gelu")),
    ]
    others[1].base_model.layers[1].register_forward_hook(lambda *_: None)
    adapter = type("Adapter", (torch.nn.Linear,), {})
    others[2].base_model.layers[0].self_attn.q_proj = adapter(32, 32)
    assert can_decode(random_model(tokenizer)) and not any(map(can_decode, others))
    drawn = sample(others[0], tokenizer, PROMPTS, temperature=1.0, samples=2, max_new_tokens=3)
    assert len(drawn) == 6 and len({tuple(one.ids) for one in drawn}) > 3


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


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_diverged_model_is_refused_in_one_sentence(model, tokenizer, way, temperature):
    """NaN weights must not become an index error from deep inside, or random words, or leave the model in eval mode."""
    model.train()
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="have diverged"):
        sample(model, tokenizer, PROMPTS, temperature=temperature, max_new_tokens=2)
    assert model.training and model.base_model.layers[0].training


@pytest.mark.parametrize("training", [True, False])
def test_the_model_s_mode_is_left_as_it_was(model, tokenizer, way, training):
    """Sampling is without dropout, and the training around it goes on with it."""
    model.train(training)
    seen, forward = [], type(model.base_model).forward
    model.base_model.forward = lambda *args, **given: (
        seen.append(model.training) or forward(model.base_model, *args, **given)
    )
    sample(model, tokenizer, PROMPTS, max_new_tokens=2)
    assert seen and not any(seen) and model.training == training
