"""Log-probs: equal to the plain way in value and gradient, and cheap in memory."""

from types import SimpleNamespace

import pytest
import torch

from prefnb import logprobs, models
from prefnb.batches import from_samples, tokenize
from prefnb.logprobs import DatasetLogprobs, HeadLogprobs, Scorer, from_tokens
from prefnb.course.policies import with_checkpointing


def plain_logprobs(model, prompt, response):
    """One row, no padding, full logits: the definition."""
    ids = torch.tensor([prompt + response])
    logits = model(input_ids=ids).logits.float().log_softmax(-1)[0]
    return torch.stack([logits[len(prompt) + t - 1, token] for t, token in enumerate(response)])


def test_padding_and_batching_change_no_logprob(model, tokenizer, pairs):
    """A row scored in a padded batch must give what it gives alone: guards masks, shifts and padding side."""
    examples = tokenize(pairs, tokenizer)
    scored = Scorer(model)(examples.batch([0, 5, 11]))
    for role in ("chosen", "rejected"):
        for row, i in enumerate([0, 5, 11]):
            alone = plain_logprobs(model, examples.prompt_ids[i], examples.responses[role][i])
            response = getattr(scored, role)
            assert response.length[row] == len(alone)
            torch.testing.assert_close(response.token[row, : len(alone)], alone, atol=1e-5, rtol=0)
            assert (response.token[row, len(alone) :] == 0).all()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_equals_the_plain_way(model, tokenizer, pairs, checkpointing):
    """The recomputed log-sum-exp must give the gradient that autograd gives through full logits; also where memory is
    saved and the embedding's gradient joins the head's in place, batch after batch."""
    with_checkpointing(model, SimpleNamespace(gradient_checkpointing=checkpointing)).train()
    examples = tokenize(pairs, tokenizer)
    for index, factor in ((1, 1.0), (7, -2.0)):
        (factor * Scorer(model)(examples.batch([index])).chosen.sum.sum()).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.eval()
    sums = [plain_logprobs(model, examples.prompt_ids[i], examples.responses["chosen"][i]).sum() for i in (1, 7)]
    (sums[0] - 2 * sums[1]).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-5, rtol=1e-4)


def test_two_threads_give_the_same_gradient_every_time(model):
    """Same command, same numbers: four responses a row share the prompt's end, and the order in which two threads came
    to add their gradients there decided the last bits of GRPO, DPPO and multi-objective."""
    rows, places = 16, 4
    draw = torch.Generator().manual_seed(0)
    ids = lambda length: torch.randint(5, 500, (length,), generator=draw).tolist()  # noqa: E731
    model.model.layers = model.model.layers[:0]  # what is guarded stands behind them, and they take their time
    batch = from_samples([ids(20) for _ in range(rows)], [ids(40) for _ in range(rows * places)])
    before, seen = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    try:
        for _ in range(20):
            model.zero_grad()
            logprob = Scorer(model)(batch).sample.token
            (logprob * torch.linspace(-1, 1, logprob.numel()).reshape(logprob.shape)).sum().backward()
            seen.add(models.fingerprint(SimpleNamespace(state_dict=lambda: gradients(model))))
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 1


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("chunk, logits", [(1, 1000), (3, 1000), (100, 1000), (100, 10)])
def test_head_by_chunks_passes_gradcheck(monkeypatch, chunk, logits):
    """Chunking and temperature: the hand-written backward against finite differences."""
    monkeypatch.setattr(logprobs.head, "CHUNK", chunk)
    monkeypatch.setattr(logprobs.head, "LOGITS", logits)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # gradcheck needs float64 throughout
    torch.manual_seed(0)
    hidden, weight, bias = (torch.randn(*s, dtype=torch.double, requires_grad=True) for s in ((7, 4), (5, 4), (5,)))
    target, temperature = torch.randint(5, (7,)), torch.rand(7, dtype=torch.double) + 0.5
    assert torch.autograd.gradcheck(
        lambda h, w, b: HeadLogprobs.apply(h, w, b, target, temperature), (hidden, weight, bias)
    )


def test_temperature_divides_the_logits():
    """Log-probs of samples drawn at temperature 2 are those of softmax(logits / 2)."""
    hidden, weight = torch.eye(3), torch.tensor([[2.0, 0, 0], [0, 1.0, 0]])
    got = HeadLogprobs.apply(hidden, weight, None, torch.tensor([0, 1, 0]), torch.tensor([2.0, 1.0, 1.0]))
    want = [torch.tensor([1.0, 0]).log_softmax(0)[0], torch.tensor([0, 1.0]).log_softmax(0)[1], torch.tensor(0.5).log()]
    torch.testing.assert_close(got, torch.stack(want))


def test_sum_mean_and_length_of_a_response_by_hand():
    """S is the sum, the mean divides by the response's own length, and an empty response is 0 and not NaN."""
    toy = from_tokens(chosen=[[-1.0, -2.0], [-0.5], []])
    assert toy.chosen.sum.tolist() == [-3.0, -0.5, 0.0]
    assert toy.chosen.length.tolist() == [2.0, 1.0, 0.0]
    assert toy.chosen.mean.tolist() == [-1.5, -0.5, 0.0]


def test_dataset_logprobs_survive_the_disk_and_any_order(model, tokenizer, pairs, tmp_path):
    """The cached reference gives what the model gives, for any batch, also after saving and loading."""
    examples = tokenize(pairs, tokenizer)
    DatasetLogprobs.compute(model, examples, batch_size=5).save(tmp_path)
    cached = DatasetLogprobs.load(tmp_path).batch([9, 2])
    with torch.no_grad():
        fresh = Scorer(model)(examples.batch([9, 2]))
    for role in ("chosen", "rejected"):
        torch.testing.assert_close(getattr(cached, role).token, getattr(fresh, role).token, atol=1e-5, rtol=0)
        assert torch.equal(getattr(cached, role).mask, getattr(fresh, role).mask)


def test_a_model_that_bends_its_logits_is_refused(model):
    """Gemma 2 caps its logits after the head: computing from the head would be silently wrong."""
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="final_logit_softcapping"):
        Scorer(model)


def test_rows_of_like_length_go_through_together_and_nothing_else_changes(model, tokenizer, pairs, monkeypatch):
    """Padding that is left out must change neither a log-prob nor a gradient, nor put a row in another's place."""
    pairs = [{**row, "chosen": row["chosen"] * (1 + 5 * (n % 3))} for n, row in enumerate(pairs)]
    batch, found = tokenize(pairs, tokenizer).batch(range(len(pairs))), []
    passes, forward = [], model.base_model.forward
    monkeypatch.setattr(
        model.base_model, "forward", lambda **given: passes.append(given["input_ids"].shape) or forward(**given)
    )
    for padding in (10**9, 100):
        monkeypatch.setattr(logprobs.scorer, "PADDING", padding)
        scored = Scorer(model)(batch)
        (scored.chosen.sum - scored.rejected.sum).mul(torch.arange(len(pairs))).sum().backward()
        found.append((scored, [parameter.grad.clone() for parameter in model.parameters()]))
        model.zero_grad()
    assert passes[0] == batch.input_ids.shape and len(passes) > 2
    positions = sum(rows * time for rows, time in passes[1:])
    assert batch.tokens <= positions <= batch.tokens + 100 * len(passes[1:]) < batch.input_ids.numel()
    (whole, gradients), (parts, same) = found
    for role in ("chosen", "rejected"):
        assert torch.equal(getattr(whole, role).mask, getattr(parts, role).mask)
        torch.testing.assert_close(getattr(parts, role).token, getattr(whole, role).token, atol=1e-5, rtol=0)
    for one, other in zip(gradients, same):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
