"""Models: bad folders are refused in one sentence, checkpoints are whole or not there."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefnb import models
from prefnb.batches import prompt_ids


def test_a_checkpoint_comes_back_equal(model, tokenizer, tmp_path):
    """Save and load: the same weights, the same tokenizer, safetensors and no pickle."""
    models.save_checkpoint(model, tokenizer, tmp_path / "policy")
    again = models.load_model(str(tmp_path / "policy"))
    assert models.fingerprint(again) == models.fingerprint(model)
    assert models.load_tokenizer(str(tmp_path / "policy")).chat_template == tokenizer.chat_template
    assert {file.suffix for file in (tmp_path / "policy").iterdir()} <= {".safetensors", ".json", ".jinja", ".txt"}


def test_the_fingerprint_sees_one_changed_weight(model):
    """A cache key that misses a change would serve another model's log-probs."""
    before = models.fingerprint(model)
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-6
    assert models.fingerprint(model) != before


def test_a_coarse_fingerprint_is_that_of_the_weights_in_half_precision(model):
    """A policy kept at two bytes a weight is the one that was trained, and nearly the same one is another."""
    before = models.fingerprint(model, coarse=True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half())
    assert models.fingerprint(model, coarse=True) == before
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-3
    assert models.fingerprint(model, coarse=True) != before


def test_an_interrupted_write_leaves_the_old_checkpoint_and_no_rubbish(model, tokenizer, tmp_path, monkeypatch):
    """If saving fails half-way, what was there before is still there, whole."""
    models.save_checkpoint(model, tokenizer, tmp_path / "policy")
    before = models.fingerprint(models.load_model(str(tmp_path / "policy")))
    monkeypatch.setattr(type(tokenizer), "save_pretrained", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        models.save_checkpoint(model, tokenizer, tmp_path / "policy")
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert models.fingerprint(models.load_model(str(tmp_path / "policy"))) == before


def test_bad_model_folders_are_refused_in_one_sentence(model, tokenizer, tmp_path):
    """No config, no weights, damaged weights, no tokenizer, no chat template, no folder: each says so."""
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(ValueError, match="no config.json"):
        models.load_model(str(folder))
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match="no tokenizer"):
        models.load_tokenizer(str(folder))
    tokenizer.save_pretrained(folder)
    template, tokenizer.chat_template = tokenizer.chat_template, None
    try:
        tokenizer.save_pretrained(tmp_path / "n")
        model.save_pretrained(tmp_path / "n")
    finally:
        tokenizer.chat_template = template
    with pytest.raises(ValueError, match="no chat template"):
        models.load_tokenizer(str(tmp_path / "n"))
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="could not be loaded"):
        models.load_model(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no .safetensors weights"):
        models.load_model(str(folder))
    with pytest.raises(ValueError, match="no model folder './nowhere'"):
        models.load_model("./nowhere")


def test_dropout_is_off_and_published_sampling_settings_do_not_leak(tokenizer, tmp_path, model):
    """A checkpoint published with dropout or top_k must not change step 0 or our sampling."""
    model.config.attention_dropout = 0.5
    model.generation_config.top_k, model.generation_config.repetition_penalty = 3, 1.3
    model.generation_config.do_sample = True
    models.save_checkpoint(model, tokenizer, tmp_path / "m")
    loaded = models.load_model(str(tmp_path / "m"))
    assert loaded.generation_config.top_k in (None, 50) and loaded.generation_config.repetition_penalty in (None, 1.0)
    loaded.train()
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(loaded(input_ids=ids).logits, loaded(input_ids=ids).logits)


@pytest.fixture
def folder(model, tokenizer, tmp_path):
    models.save_checkpoint(model, tokenizer, tmp_path / "m")
    return tmp_path / "m"


def rewrite(folder, change):
    """The folder's weights, changed."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_weights_are_not_filled_at_random(folder):
    """A model without one of its weights gave other results every run, exit 0."""
    rewrite(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ValueError, match="lack model.layers.1.mlp.up_proj.weight; save the whole model again"):
        models.load_model(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_of_weights_that_are_no_numbers_is_refused_by_name(folder, value):
    """It was told to lower the learning rate, by the first sampling."""
    rewrite(folder, lambda weights: weights["model.norm.weight"].fill_(value))
    with pytest.raises(ValueError, match="not all finite numbers .model.norm.weight"):
        models.load_model(str(folder))


def test_a_deleted_tokenizer_is_not_an_empty_one(folder):
    """Without tokenizer.json an empty tokenizer was loaded, and the data were blamed."""
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="knows no words; is its tokenizer.json missing"):
        models.load_tokenizer(str(folder))


@pytest.mark.parametrize(
    "file, loads",
    [
        ("tokenizer.json", models.load_tokenizer),
        ("tokenizer_config.json", models.load_tokenizer),
        ("config.json", models.load_model),
    ],
)
@pytest.mark.parametrize("text", ["", "{", "[]", "\0", "[" * 10**5])
def test_damaged_json_is_told_by_its_file(folder, file, loads, text):
    """One sentence, with the name of the file; "Expecting value: line 1 column 1" helps nobody."""
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=f"{file} is (damaged|no JSON)") as refused:
        loads(str(folder))
    assert "\n" not in str(refused.value)


def test_no_damage_to_a_model_folder_is_a_traceback(folder, tmp_path):
    """Every file emptied, cut, flipped at eight places: it loads, or says in one sentence why not."""
    draw = random.Random(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        flipped = [bytearray(whole) for _ in range(8)]
        for one in flipped:
            one[draw.randrange(min(len(one), 4000))] ^= 1 << draw.randrange(8)
        for damaged in (b"", whole[: len(whole) // 2], *map(bytes, flipped)):
            path.write_bytes(damaged)
            try:
                models.load_tokenizer(str(folder))
                models.load_model(str(folder))
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 600
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "template, said",
    [
        ("", "does not write what the user says"),
        ("always the same", "does not write what the user says"),
        ("{% for m in messages %}{{ m.content if m.role == 'user' }}{% endfor %}", "what the assistant says"),
        ("{{ raise_exception('No users here.') }}", "refuses turns of the roles user: No users here"),
        ("{{ messages[7].content }}{{ messages[0].nothing.more }}", "refuses turns of the roles user"),
        ("{% for", "refuses turns"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_told_at_once(folder, template, said):
    """Empty, constant, or without a role: "substring not found" and TemplateError came long after."""
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(ValueError, match=said):
        models.load_tokenizer(str(folder))


def test_a_role_that_the_template_refuses_is_told(folder):
    """Data with a system turn, and a template that knows none: a sentence, no TemplateError."""
    rule = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(rule + template)
    tokenizer = models.load_tokenizer(str(folder))
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    with pytest.raises(ValueError, match="roles system, user: System role not supported"):
        prompt_ids(tokenizer, turns)


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_experts_implementation"])
def test_a_strangers_config_does_not_choose_what_computes_attention(folder, key, monkeypatch):
    """It could name a kernel to be downloaded and run."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: "somebody/kernel"}))
    assert "somebody" not in str(vars(models._config(str(folder))))
    assert models.load_model(str(folder)).config._attn_implementation in ("sdpa", "eager")
