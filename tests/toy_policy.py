"""A policy small enough to know everything about: three tokens, at most two at a time, seven responses.

Expectations over its samples are sums over seven terms, so estimators can be held against what they estimate.
"""

from itertools import product
from collections import defaultdict
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch

from prefnb.logprobs import ResponseLogprobs

END = 2  # tokens 0 and 1 are words
RESPONSES = [(END,), (0, END), (0, 0), (0, 1), (1, END), (1, 0), (1, 1)]  # cut off after two tokens


def samples(logits: torch.Tensor, responses=RESPONSES) -> SimpleNamespace:
    """The log-probs of `responses` as the response "sample". Rows of logits: first token; second after 0; after 1."""
    logp = logits.log_softmax(-1)
    zero = logits.new_zeros(())
    token = [torch.stack([logp[0, y[0]], logp[1 + y[0], y[1]] if len(y) == 2 else zero]) for y in responses]
    mask = torch.tensor([[True, len(y) == 2] for y in responses])
    return SimpleNamespace(sample=ResponseLogprobs(torch.stack(token), mask))


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """pi(y) of every response, (7,)."""
    return samples(logits).sample.sum.exp()


def expected_gradient(loss_of_batch, logits: torch.Tensor) -> torch.Tensor:
    """E[grad loss] over all batches of two independent samples. loss_of_batch(responses, logits) -> (2,)."""
    p = probabilities(logits).detach()
    total = torch.zeros_like(logits)
    for i, j in product(range(len(RESPONSES)), repeat=2):
        leaf = logits.detach().clone().requires_grad_()
        loss = loss_of_batch([RESPONSES[i], RESPONSES[j]], leaf).mean()
        total += p[i] * p[j] * torch.autograd.grad(loss, leaf)[0]
    return total


def finite_differences(function, logits: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    """The gradient of a number, by central differences: no autograd involved."""
    gradient = torch.zeros_like(logits)
    for index in product(*map(range, logits.shape)):
        up, down = logits.clone(), logits.clone()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def random_responses(roles, seed: int, batch: int = 4, time: int = 5, dtype=torch.float64) -> SimpleNamespace:
    """Random log-probs of random lengths for each role; the tokens are leaves that require gradients."""
    generator = torch.Generator().manual_seed(seed)
    namespace = SimpleNamespace()
    for role in roles:
        lengths = torch.randint(1, time + 1, (batch, 1), generator=generator)
        mask = torch.arange(time) < lengths
        token = -2 * torch.rand(batch, time, generator=generator, dtype=dtype) - 0.05
        setattr(namespace, role, ResponseLogprobs(token.masked_fill(~mask, 0).requires_grad_(), mask))
    return namespace


def tokens_of(namespace: SimpleNamespace) -> list[torch.Tensor]:
    """The leaves that an objective is differentiated with respect to."""
    return [response.token for response in vars(namespace).values()]


def gradcheck(objective, policy: SimpleNamespace) -> bool:
    """Whether autograd's gradient of objective(policy) -> (loss, metrics) is that of finite differences."""
    roles, responses = vars(policy).keys(), vars(policy).values()

    def loss(*tokens):
        return objective(SimpleNamespace(**{role: ResponseLogprobs(token, response.mask) for role, token, response
                                            in zip(roles, tokens, responses)}))[0]

    return torch.autograd.gradcheck(loss, tokens_of(policy))


def trl_dpo(policy: SimpleNamespace, reference: SimpleNamespace, loss_type: str, *, beta: float, label_smoothing=0.0):
    """(loss, logged metrics) of TRL's own DPOTrainer on these log-probs of chosen and rejected."""
    from trl import DPOTrainer

    trainer = MagicMock(beta=beta, loss_types=[loss_type], loss_weights=[1.0], f_divergence_type="reverse_kl",
                        label_smoothing=label_smoothing, ld_alpha=None, use_weighting=False, precompute_ref_logps=True,
                        aux_loss_enabled=False, _tp_size=1, _total_train_tokens=0)
    trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda x: x
    logged = defaultdict(list)
    trainer._metrics = {"train": logged}
    # TRL stacks chosen over rejected, and shifts by one: the first column belongs to the prompt
    token = torch.cat([policy.chosen.token, policy.rejected.token])
    mask = torch.cat([policy.chosen.mask, policy.rejected.mask])
    outputs = SimpleNamespace(log_probs=token, entropy=token, mean_logits=token, is_top1=mask)
    shifted = torch.nn.functional.pad(mask, (1, 0)).long()
    inputs = {"input_ids": shifted, "attention_mask": shifted, "completion_mask": shifted,
              "ref_chosen_logps": reference.chosen.sum, "ref_rejected_logps": reference.rejected.sum}
    return DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False), logged
