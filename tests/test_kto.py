"""KTO: thumbs up and down against a reference point, which has no gradient and is never below 0."""

import math
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from toy_policy import gradcheck, random_responses

from prefnb import methods
from prefnb.batches import Examples
from prefnb.logprobs import from_tokens
from prefnb.methods.kto import kto, unpaired

NAMES = ("response", "other")
GOOD = torch.tensor([1, 0, 1, 0])


def test_kto_by_hand():
    """d = 1 for both, z = (0.5 + 0.1) / 2 = 0.3: the good one costs 1 - sigma(.7), the bad one 2 (1 - sigma(-.7))."""
    policy = from_tokens(response=[[-1.0], [-2.0]], other=[[-1.5], [-1.9]])
    reference = from_tokens(response=[[-2.0], [-3.0]], other=[[-2.0], [-2.0]])
    loss, metrics = kto(policy, reference, good=torch.tensor([1, 0]), beta=1.0, weight_bad=2.0)
    sigma = 1 / (1 + math.exp(-0.7))
    assert loss.tolist() == pytest.approx([1 - sigma, 2 * sigma])
    assert metrics["z"].tolist() == pytest.approx([0.3, 0.3]) and metrics["accuracy"].tolist() == [1.0, 0.0]


def test_the_reference_point_is_never_below_0():
    """Guards the clamp: responses that became less likely on the whole do not lower the bar."""
    policy, reference = from_tokens(response=[[-1.0]], other=[[-5.0]]), from_tokens(response=[[-2.0]], other=[[-2.0]])
    assert kto(policy, reference, good=torch.tensor([1]), beta=1.0)[1]["z"].item() == 0.0


def test_kto_is_trl_s():
    """Guards loss and gradient against TRL's own trainer, run on the same log-probs."""
    from trl import KTOTrainer

    policy, reference = (random_responses(NAMES, seed, dtype=torch.float32) for seed in (0, 1))
    trainer = MagicMock(beta=0.3, loss_type="kto", desirable_weight=1.0, undesirable_weight=1.5, calculate_KL=True,
                        precompute_ref_logps=True, aux_loss_enabled=False, _tp_size=1, _total_train_tokens=0)
    trainer.accelerator.gather_for_metrics, trainer.accelerator.device = (lambda x: x), "cpu"
    trainer._compute_kl_logps = lambda model, batch: policy.other.sum
    token, mask = policy.response.token, policy.response.mask
    outputs = SimpleNamespace(log_probs=token, entropy=token, mean_logits=token, is_top1=mask)
    shifted = torch.nn.functional.pad(mask, (1, 0)).long()  # TRL shifts by one: the first column is the prompt's
    inputs = {"input_ids": shifted, "attention_mask": shifted, "completion_mask": shifted, "label": GOOD.bool(),
              "ref_logps": reference.response.sum, "ref_KL_logps": reference.other.sum}
    theirs = KTOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False)
    ours = kto(policy, reference, good=GOOD, beta=0.3, weight_bad=1.5)[0].mean()
    assert ours.item() == pytest.approx(theirs.item())
    one, other = (torch.autograd.grad(loss, policy.response.token, retain_graph=True)[0] for loss in (ours, theirs))
    assert torch.allclose(one, other, atol=1e-6)


def test_the_gradient_is_right_and_none_goes_through_the_reference_point():
    """Against finite differences of the response alone; `other` gets nothing."""
    policy, reference = random_responses(NAMES, seed=0), random_responses(NAMES, seed=1)
    loss = kto(policy, reference, good=GOOD, beta=0.3)[0].sum()
    assert torch.autograd.grad(loss, policy.other.token, allow_unused=True)[0] is None
    alone = SimpleNamespace(response=policy.response)
    with_other = lambda found: kto(SimpleNamespace(response=found.response, other=reference.other), reference,  # noqa: E731
                                   good=GOOD, beta=0.3)
    assert gradcheck(with_other, alone)


def test_pairs_are_taken_apart_and_no_response_stands_in_for_itself():
    """Every response once with its label; beside it one that answers another prompt."""
    pairs = Examples([[1], [2], [3]], {"chosen": [[11], [12], [13]], "rejected": [[21], [22], [23]]}, [0, 1, 2])
    found = unpaired(pairs, seed=0)
    assert found.prompt_ids == [[1], [2], [3]] * 2 and found.labels == {"good": [1, 1, 1, 0, 0, 0]}
    assert found.responses["response"] == [[11], [12], [13], [21], [22], [23]]
    assert sorted(found.responses["other"]) == sorted(found.responses["response"])
    assert all(other[0] % 10 != prompt[0] for prompt, other in zip(found.prompt_ids, found.responses["other"]))


def test_the_recipe_trains_from_step_0(small_world):
    """From settings to a policy: at step 0 the loss is one half; every pair gives two examples."""
    made = methods.kto.recipe(**small_world)
    assert made.history.rows[0]["loss"] == pytest.approx(0.5, abs=1e-4)
    assert len(made.history.rows) == 2 * small_world["pairs"] // small_world["batch_size"]
