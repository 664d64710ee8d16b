"""Reward models: the loss, the scores on shared-prompt rows, loading, the judge and the recipe."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
)

from prefnb import methods, models
from prefnb.batches import Batches, tokenize
from prefnb.judges import RewardModel
from prefnb.logprobs import RewardScorer, score_of
from prefnb.methods.reward_model import bradley_terry, two_classes
from prefnb.training import train


def scores(chosen, rejected):
    return SimpleNamespace(chosen=torch.as_tensor(chosen), rejected=torch.as_tensor(rejected))


@pytest.fixture
def reward_model(model, tokenizer):
    """A reward model whose scores differ visibly: a new head is too small for that."""
    made = models.reward_model_from(model, tokenizer, seed=0)
    with torch.no_grad():
        made.score.weight.mul_(30)
    return made


def plain_score(model, ids):
    """One row through the library's own forward, no padding: the definition."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0, 0]


# --- The loss ---------------------------------------------------------------------------------------------------


def test_bradley_terry_by_hand():
    """Guards the sign and every metric's meaning."""
    loss, metrics = bradley_terry(scores([2.0], [0.5]))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1.5)))
    assert {name: value.item() for name, value in metrics.items()} == {
        "margin": 1.5,
        "accuracy": 1.0,
        "score_chosen": 2.0,
        "score_rejected": 0.5,
    }


def test_equal_scores_cost_ln_2_and_are_not_called_accurate():
    """Guards step 0 and ties."""
    loss, metrics = bradley_terry(scores([3.0, -1.0], [3.0, -1.0]))
    torch.testing.assert_close(loss, torch.full((2,), math.log(2)))
    assert metrics["accuracy"].tolist() == [0, 0]


def test_only_differences_of_one_prompts_scores_matter():
    """A constant of a prompt's own added to both of its scores changes neither loss nor gradient."""
    pair, shift = scores([0.3, -1.0], [1.0, 0.25]), torch.tensor([5.0, -40.0])
    moved = scores((pair.chosen + shift).requires_grad_(), pair.rejected + shift)
    pair.chosen.requires_grad_()
    losses = [bradley_terry(one)[0] for one in (pair, moved)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss.sum(), one.chosen)[0] for loss, one in zip(losses, (pair, moved)))
    )


def test_gradient_by_finite_differences():
    """Guards the formula's derivative, e.g. a detach in the wrong place."""
    torch.manual_seed(0)
    pair = [torch.randn(5, dtype=torch.double, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda chosen, rejected: bradley_terry(scores(chosen, rejected))[0], pair)


def test_metrics_carry_no_graph():
    """A history that keeps every step's graph fills the memory."""
    _, metrics = bradley_terry(scores(torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)))
    assert not any(value.requires_grad for value in metrics.values())


def test_the_loss_is_trls(reward_model, tokenizer, pairs, tmp_path):
    """The same model and pairs through TRL's reward trainer: its loss, accuracy and margin are the means of ours."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    examples = tokenize(pairs, tokenizer)
    rows = [
        {f"{role}_ids": prompt + examples.responses[role][i] for role in examples.names}
        for i, prompt in enumerate(examples.prompt_ids)
    ]
    trainer = RewardTrainer(
        reward_model,
        RewardConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, max_length=None),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.model.eval()
    theirs = trainer.compute_loss(trainer.model, dict(trainer.data_collator(rows)))
    loss, metrics = bradley_terry(RewardScorer(reward_model)(examples.batch(range(len(examples)))))
    torch.testing.assert_close(loss.mean(), theirs, atol=1e-5, rtol=0)
    seen = trainer._metrics["eval"]
    assert seen["accuracy"] == [pytest.approx(metrics["accuracy"].mean().item())]
    assert seen["margin"] == [pytest.approx(metrics["margin"].mean().item(), abs=1e-5)]


def test_two_classes_is_the_cross_entropy_of_two_outputs():
    """Guards the sign, and the claim that the difference of two outputs is all that their cross-entropy needs."""
    outputs, label = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0, 1, 0])
    ours = outputs.clone().requires_grad_()
    theirs = outputs.clone().requires_grad_()
    loss, metrics = two_classes(SimpleNamespace(response=score_of(ours)), label=label)
    expected = torch.nn.functional.cross_entropy(theirs, label, reduction="none")
    torch.testing.assert_close(loss, expected)
    loss.sum().backward(), expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert torch.equal(metrics["accuracy"].bool(), outputs.argmax(1) == label)
    assert not metrics["score"].requires_grad


# --- The scores -------------------------------------------------------------------------------------------------


def test_scores_on_shared_prompt_rows_are_the_plain_forwards(reward_model, tokenizer, pairs):
    """Chosen and rejected share a padded row with their prompt; each must score as prompt + response does alone."""
    examples = tokenize(pairs, tokenizer)
    index = [0, 5, 11]
    scored = RewardScorer(reward_model)(examples.batch(index))
    for role in examples.names:
        alone = [plain_score(reward_model, examples.prompt_ids[i] + examples.responses[role][i]) for i in index]
        found = getattr(scored, role)
        assert found.shape == (3,) and found.dtype == torch.float32
        torch.testing.assert_close(found.detach(), torch.stack(alone), atol=1e-5, rtol=0)
        assert found.std() > 0.1  # equal only because all are 0 would prove nothing


def test_a_model_without_a_score_head_is_refused(model):
    """A causal model by mistake: one sentence, not an AttributeError in the first step."""
    with pytest.raises(ValueError, match="no linear `score` head"):
        RewardScorer(model)


def test_the_one_loop_trains_scores(reward_model, tokenizer, pairs):
    """Given the scorer, the loop learns the pairs; and the result is the same from the same command."""
    examples, rows = tokenize(pairs, tokenizer), []
    for _ in range(2):
        learner = models.copy_model(reward_model)
        history = train(
            learner,
            Batches(examples, 4, accumulation=2),
            bradley_terry,
            scorer=RewardScorer,
            epochs=8,
            learning_rate=3e-3,
            progress=False,
        )
        rows.append(history.rows)
    assert rows[0] == rows[1]
    assert history.last("loss", over=3) < 0.1 and history.last("accuracy", over=3) == 1


def test_a_classifier_learns_labels_in_the_one_loop(model, tokenizer, pairs):
    """Guards labels that reach the wrong rows when batches are shuffled and cut."""
    label = torch.tensor([n % 3 == 0 for n in range(len(pairs))]).long()
    examples = tokenize(pairs, tokenizer, ("chosen",))
    examples.responses = {"response": examples.responses["chosen"]}
    learner = models.reward_model_from(model, tokenizer, classes=("bad", "good"))
    batches = Batches(replace(examples, labels={"label": label.tolist()}), 4, accumulation=2)
    assert all(piece.extras["label"].tolist() == label[piece.index].tolist() for cut in batches.epoch(0) for piece in cut)
    train(learner, batches, two_classes, scorer=RewardScorer, epochs=40, learning_rate=3e-3, progress=False)
    found = RewardModel(learner, tokenizer)([row["prompt"] for row in pairs], [row["chosen"] for row in pairs]).total
    assert ((found > 0) == label.bool().numpy()).all()


# --- The model --------------------------------------------------------------------------------------------------


def test_a_new_reward_model_is_the_policy_with_a_small_seeded_head(model, tokenizer):
    """Guards weights left at random, a head that shouts before training, and a policy changed on the way."""
    before = models.fingerprint(model)
    made = models.reward_model_from(model, tokenizer, seed=3)
    ids = torch.tensor([[5, 6, 7, 8]])
    hidden = model.model(input_ids=ids).last_hidden_state
    assert torch.equal(made.model(input_ids=ids).last_hidden_state, hidden)
    assert 0 < made(input_ids=ids).logits.abs().item() < 1
    assert made.config.num_labels == 1 and made.config.pad_token_id == tokenizer.pad_token_id
    again, other = (models.reward_model_from(model, tokenizer, seed=seed) for seed in (3, 4))
    assert torch.equal(made.score.weight, again.score.weight)
    assert not torch.equal(made.score.weight, other.score.weight)
    assert models.fingerprint(model) == before and model.config.num_labels != 1


def test_a_tokenizer_that_pads_with_its_end_of_turn_is_refused(model, tokenizer, monkeypatch):
    """The library looks for the last token that is no padding: it would score a response without its end."""
    monkeypatch.setattr(models, "end_of_turn_id", lambda tokenizer: tokenizer.pad_token_id)
    with pytest.raises(ValueError, match="a pad token of its own"):
        models.reward_model_from(model, tokenizer)


def test_a_saved_reward_model_is_one_for_any_library(reward_model, tokenizer, tmp_path):
    """The standard format: bit for bit through our loader, and through transformers alone."""
    models.save_checkpoint(reward_model, tokenizer, tmp_path / "proxy")
    ours = models.load_reward_model(str(tmp_path / "proxy"))
    assert models.fingerprint(ours) == models.fingerprint(reward_model)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "proxy")
    assert plain_score(theirs, [5, 6, 7]) == plain_score(reward_model, [5, 6, 7])
    assert {file.suffix for file in (tmp_path / "proxy").iterdir()} <= {".safetensors", ".json", ".jinja", ".txt"}


def test_folders_that_are_no_reward_model_are_refused(model, reward_model, tokenizer, tmp_path):
    """transformers would give a causal model a head of random numbers, and score with it."""
    models.save_checkpoint(model, tokenizer, tmp_path / "policy")
    with pytest.raises(ValueError, match="no sequence-classification model but Qwen2ForCausalLM"):
        models.load_reward_model(str(tmp_path / "policy"))
    with pytest.raises(ValueError, match="no model folder"):
        models.load_reward_model("./nowhere")
    reward_model.config.num_labels = 3
    models.save_checkpoint(reward_model, tokenizer, tmp_path / "three")
    with pytest.raises(ValueError, match="has 3 outputs"):
        models.load_reward_model(str(tmp_path / "three"))


def test_missing_head_weights_are_refused(reward_model, tokenizer, tmp_path):
    """A head that was not saved would be made up anew at every load."""
    from safetensors.torch import load_file, save_file

    models.save_checkpoint(reward_model, tokenizer, tmp_path / "proxy")
    path = tmp_path / "proxy" / "model.safetensors"
    weights = load_file(path)
    del weights["score.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lack score.weight"):
        models.load_reward_model(str(tmp_path / "proxy"))


# --- The judge --------------------------------------------------------------------------------------------------


def test_the_judge_reads_what_training_read(reward_model, tokenizer, pairs):
    """Scores in the order given, of the ids that `tokenize` makes, whatever the batch size."""
    examples = tokenize(pairs, tokenizer)
    prompts, responses = [row["prompt"] for row in pairs], [row["chosen"] for row in pairs]
    alone = [plain_score(reward_model, p + r) for p, r in zip(examples.prompt_ids, examples.responses["chosen"])]
    for batch_size in (1, 5, 64):
        found = RewardModel(reward_model, tokenizer, batch_size=batch_size)(prompts, responses).total
        torch.testing.assert_close(torch.tensor(found).float(), torch.stack(alone), atol=1e-5, rtol=0)
    assert RewardModel(reward_model, tokenizer).tie == 0


def test_the_judge_refuses_what_it_cannot_match_and_takes_an_empty_response(reward_model, tokenizer, pairs):
    """Like every judge; a policy that says nothing is still scored."""
    judge, prompt = RewardModel(reward_model, tokenizer), pairs[0]["prompt"]
    with pytest.raises(ValueError, match="1 prompts and 2 responses"):
        judge([prompt], ["a", "b"])
    assert math.isfinite(judge([prompt], [""]).total[0])
    assert len(judge([], [])) == 0


@pytest.fixture
def encoder(pairs):
    """A tiny BERT with random weights and a tokenizer of whole words, without a chat template."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    text = " ".join(row["prompt"][0]["content"] + " " + row["chosen"] for row in pairs)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *sorted({word for word, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text)}),
    ]
    whole = Tokenizer(kinds.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=whole, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=24,
        initializer_range=0.5,
        num_labels=1,
    )
    return BertForSequenceClassification(config).eval(), tokenizer


def test_an_encoder_reads_the_last_question_and_the_response_as_a_pair(encoder, pairs):
    """Models without a chat template: in order, padding unseen, earlier turns left out, long texts cut."""
    model, tokenizer = encoder
    prompts, responses = [row["prompt"] for row in pairs], [row["chosen"] for row in pairs]
    found = RewardModel(model, tokenizer, batch_size=5)(prompts, responses).total
    for i, (prompt, response) in enumerate(zip(prompts, responses)):
        inputs = tokenizer(prompt[0]["content"], response, return_tensors="pt", truncation=True, max_length=24)
        assert found[i] == pytest.approx(model(**inputs).logits.item(), abs=1e-5)
    assert found.std() > 0.01
    earlier = [{"role": "user", "content": "the river"}, {"role": "assistant", "content": "fish"}]
    assert RewardModel(model, tokenizer)([earlier + prompts[0]], responses[:1]).total[0] == pytest.approx(
        found[0], abs=1e-5
    )
    assert math.isfinite(RewardModel(model, tokenizer)(prompts[:1], ["the heron " * 200]).total[0])


@pytest.mark.parametrize("reads", ["pair", "response"])
def test_a_classifier_of_two_classes_is_loaded_by_name_and_scored_by_log_odds(encoder, pairs, tmp_path, reads):
    """An encoder as the papers' fluency model: no chat template, two outputs, either of which may be the good one."""
    one_output, tokenizer = encoder
    one_output.config.num_labels = 2
    model = BertForSequenceClassification(one_output.config).eval()
    models.save_checkpoint(model, tokenizer, tmp_path / "fluency")
    prompts, responses = [row["prompt"] for row in pairs], [row["chosen"] for row in pairs]
    settings = dict(reads=reads, batch_size=5)
    found = RewardModel.load(str(tmp_path / "fluency"), **settings)(prompts, responses).total
    for i, (prompt, response) in enumerate(zip(prompts, responses)):
        texts = (prompt[0]["content"], response) if reads == "pair" else (response,)
        inputs = tokenizer(*texts, return_tensors="pt", truncation=True, max_length=24)
        probability = model(**inputs).logits.softmax(1)[0]
        assert found[i] == pytest.approx((probability[1] / probability[0]).log().item(), abs=1e-4)
    assert found.std() > 0.01
    other = RewardModel.load(str(tmp_path / "fluency"), positive=0, **settings)(prompts, responses).total
    assert other == pytest.approx(-found)


def test_a_deberta_as_the_papers_helpfulness_model_is_loaded_by_name(encoder, pairs, tmp_path):
    """Configured as reward-model-deberta-v3-large-v2, but small: one output, question and response as a pair, in this
    order; [SEP] alone tells their places, and exchanged they are another pair."""
    _, tokenizer = encoder
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=24,
        initializer_range=0.5,
        num_labels=1,
        type_vocab_size=0,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
    )
    model = DebertaV2ForSequenceClassification(config).eval()
    models.save_checkpoint(model, tokenizer, tmp_path / "helpfulness")
    prompts, responses = [row["prompt"] for row in pairs], [row["chosen"] for row in pairs]
    judge = RewardModel.load(str(tmp_path / "helpfulness"), batch_size=5)
    found = judge(prompts, responses).total
    assert judge.reads == "pair" and judge.name == "helpfulness"
    for i, (prompt, response) in enumerate(zip(prompts, responses)):
        inputs = tokenizer(prompt[0]["content"], response, return_tensors="pt", truncation=True, max_length=24)
        assert found[i] == pytest.approx(model(**inputs).logits.item(), abs=1e-4)
    exchanged = judge([[{"role": "user", "content": one}] for one in responses], [one[0]["content"] for one in prompts])
    assert found.std() > 0.01 and abs(exchanged.total - found).max() > 0.01


def test_settings_that_no_judge_has_are_refused(encoder):
    """A class 2, or a misspelt way to read, would score something else without a word."""
    with pytest.raises(ValueError, match="positive must be"):
        RewardModel(*encoder, positive=2)
    with pytest.raises(ValueError, match="reads must be"):
        RewardModel(*encoder, reads="both")


# --- The recipe -------------------------------------------------------------------------------------------------


def test_the_recipe_runs_on_local_files_and_comes_back_from_the_cache(small_world):  # noqa: F811
    """From the parameters to a judge, and the same from the cache, bit for bit; the loss starts near ln 2."""
    first, again = (methods.reward_model.recipe(**small_world) for _ in range(2))
    assert first.history.rows[0]["loss"] == pytest.approx(math.log(2), abs=0.1)
    assert again.history.rows == first.history.rows
    assert models.fingerprint(again.model) == models.fingerprint(first.model)
    prompt = [{"role": "user", "content": "What is 3?"}]
    totals = [RewardModel(made.model, made.tokenizer)([prompt], ["It is 3."]).total for made in (first, again)]
    assert totals[0] == totals[1]


def test_the_command_saves_a_reward_model(small_world, tmp_path, capsys):  # noqa: F811
    """`python -m prefnb reward_model` leaves a folder that `load_reward_model` takes."""
    from prefnb import __main__ as command_line

    words = [word for name, value in small_world.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command_line.main(["reward_model", *words, f"--output-dir={tmp_path / 'out'}"])
    assert models.load_reward_model(str(tmp_path / "out")).config.num_labels == 1
    assert str(tmp_path / "out") in capsys.readouterr().out
