"""SFT and its length penalty."""

from types import SimpleNamespace

import torch
from toy_policy import END, RESPONSES, expected_gradient, finite_differences, probabilities, samples

from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.estimators.score_function import score_function
from prefnb.methods.sft import length_penalty, length_penalty_printed, sft

LENGTHS = torch.tensor([float(len(y)) for y in RESPONSES])


def logits_of(seed):
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_sft_is_the_sum_of_the_response_s_log_probs():
    """Guards against the mean per response, where short ones weigh more; by hand: 1 + 2 = 3, and 0.5."""
    loss, metrics = sft(from_tokens(response=[[-1.0, -2.0], [-0.5]]))
    assert loss.tolist() == [3.0, 0.5]
    assert metrics["logp"].tolist() == [-3.0, -0.5] and metrics["length"].tolist() == [2.0, 1.0]


def test_sft_is_torch_s_cross_entropy_with_prompt_labels_ignored():
    """Guards the sign and the mask, gradient included, against torch's own loss with labels of -100."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 11, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(11, (4, 6), generator=generator)
    mask = torch.rand(4, 6, generator=generator) > 0.4
    ignored = labels.masked_fill(~mask, -100)
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ignored.flatten())
    token = logits.log_softmax(-1).gather(2, labels[..., None])[..., 0].masked_fill(~mask, 0.0)
    loss, metrics = sft(SimpleNamespace(response=ResponseLogprobs(token, mask)))
    ours = loss.sum() / metrics["length"].sum()  # what the loop does
    assert torch.allclose(ours, theirs)
    assert torch.allclose(*(torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (ours, theirs)))


def test_sft_of_an_empty_response_is_zero():
    """Guards against NaN from a row whose tokens are all masked."""
    token = torch.zeros(1, 3, requires_grad=True)
    loss, _ = sft(SimpleNamespace(response=ResponseLogprobs(token, torch.zeros(1, 3, dtype=torch.bool))))
    loss.sum().backward()
    assert loss.item() == 0 and token.grad.isfinite().all()


def test_printed_length_penalty_by_hand():
    """Guards max(0, .) and the square: lengths 3, 1 against 1, 2 give 0.5 * (3-1)^2 = 2, and 0, not 0.5."""
    policy = from_tokens(sample=[[-1.0, -1.0, -1.0], [-1.0]])
    loss, metrics = length_penalty_printed(policy, target_length=torch.tensor([1, 2]), factor=0.5)
    assert loss.tolist() == [2.0, 0.0]
    assert metrics["excess"].tolist() == [2.0, 0.0] and metrics["sample_length"].tolist() == [3.0, 1.0]


def test_printed_length_penalty_has_no_gradient():
    """Guards the lesson: as printed, the penalty changes the loss and not one bit of the gradient."""
    logits = logits_of(0).requires_grad_()
    policy = samples(logits)
    policy.response = policy.sample
    loss, _ = sft(policy)
    printed, _ = length_penalty_printed(policy, target_length=torch.zeros(len(RESPONSES)), factor=10.0)
    assert not printed.requires_grad and (printed > 0).all()
    without = torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad((loss + printed).sum(), logits)[0], without)


def test_both_length_penalties_report_the_same_number():
    """Guards the comparison in the notebook: both log the same quantity and differ in gradient alone."""
    policy, target = samples(logits_of(1)), torch.ones(len(RESPONSES))
    printed, estimated = (penalty(policy, target_length=target, factor=0.1)
                          for penalty in (length_penalty_printed, length_penalty))
    assert torch.equal(printed[0].double(), estimated[0].double())
    assert all(torch.equal(printed[1][name], estimated[1][name]) for name in printed[1])


def test_length_penalty_pushes_long_samples_down_by_hand():
    """Guards the estimator's sign: excesses 2 and 0 cost 4 and 0, so the advantages are +4 and -4."""
    token = torch.tensor([[-1.0, -1.0, -1.0], [-1.0, 0.0, 0.0]], requires_grad=True)
    policy = SimpleNamespace(sample=ResponseLogprobs(token, torch.tensor([[True, True, True], [True, False, False]])))
    length_penalty(policy, target_length=torch.ones(2), factor=1.0)[0].sum().backward()
    assert token.grad[:, 0].tolist() == [4.0, -4.0]


def test_length_penalty_s_gradient_is_that_of_the_expected_penalty():
    """Guards the estimator, baseline included: its mean over all batches is the exact gradient."""
    logits, factor = logits_of(2), 0.3

    def expected_penalty(logits):  # the demonstration is empty, so every token is one too many
        return float((probabilities(logits) * factor * LENGTHS**2).sum())

    def loss(responses, logits):
        return length_penalty(samples(logits, responses), target_length=torch.zeros(2), factor=factor)[0]

    exact = finite_differences(expected_penalty, logits)
    assert exact.abs().max() > 0.01
    assert torch.allclose(expected_gradient(loss, logits), exact, atol=1e-8)


def test_score_function_ignores_a_gradient_of_the_cost_s_own():
    """Guards against training through a cost that hangs on a graph: only log pi(y) gets a gradient."""
    cost, logp = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([-1.0, -2.0], requires_grad=True)
    score_function(cost, logp, value=cost).sum().backward()
    assert cost.grad is None and logp.grad.tolist() == [-2.0, 2.0]


def test_length_penalty_does_nothing_where_all_samples_cost_the_same():
    """Guards the baseline: equal costs are no reason to prefer any sample."""
    logits = logits_of(3).requires_grad_()
    policy = samples(logits, [(0, 0), (0, 1), (1, END)])
    loss, _ = length_penalty(policy, target_length=torch.zeros(3), factor=1.0)
    assert (torch.autograd.grad(loss.sum(), logits)[0] == 0).all()
