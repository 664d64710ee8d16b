"""Models: bad folders are refused in one sentence, checkpoints are whole or not there."""

import pytest
import torch

from prefnb import models


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
