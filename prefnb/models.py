"""Models and tokenizers: the policy, its reference, and what is saved of them.

A model is `"pocket"` (the embedded base model), a local folder, or a name on the Hugging Face hub. Weights are
safetensors only, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import prefnb
from prefnb import files, pocket
from prefnb.batches import check_template, end_of_turn_id
from prefnb.files import damaged_json, first_line, reason
from prefnb.processes import default_device


def _source(name: str) -> str:
    """Where `name` is loaded from; one clear sentence if a folder is not a model."""
    if name == "pocket":
        return str(pocket.DATA / "base_model")
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"The model folder '{name}' has no config.json; give a folder written by save_pretrained.")
        if not list(folder.glob("*.safetensors")):
            raise ValueError(f"The model folder '{name}' has no .safetensors weights; save the model in that format.")
        if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
            raise ValueError(
                f"The model folder '{name}' has no tokenizer; save one there with tokenizer.save_pretrained."
            )
        return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"There is no model folder '{name}'; give an existing folder, a hub name, or 'pocket'.")
    return name


def files_of(folder: Path) -> list[Path]:
    """The files that a model and its tokenizer are loaded from; ValueError if the folder is not a model."""
    found = [*Path(_source(str(folder))).glob("*"), *folder.glob("additional_chat_templates/*")]
    return [file for file in found if file.is_file()]


def load_tokenizer(name: str = "pocket", *, chat: bool = True) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a model, with a pad token and a chat template that works (`chat=False`: with or without one).
    Raises ValueError with one clear sentence otherwise."""
    with _told(name, "tokenizer") as source:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        words = set(tokenizer.get_vocab().values()) - set(tokenizer.added_tokens_decoder)
    if not words:
        raise ValueError(f"The tokenizer of '{name}' knows no words; is its tokenizer.json missing?")
    if chat and tokenizer.chat_template is None:
        raise ValueError(
            f"The tokenizer of '{name}' has no chat template; choose a chat model, or set tokenizer.chat_template "
            "and save it."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if chat:
        try:
            check_template(tokenizer)
        except ValueError as error:
            raise ValueError(f"The chat template of '{name}' cannot be used: {error}") from None
    return tokenizer


def load_model(
    name: str = "pocket", *, device: str | torch.device | None = None, dtype: torch.dtype = torch.float32
) -> transformers.PreTrainedModel:
    """A causal language model without dropout, in eval mode, on `device` (a GPU where there is one).

    Raises ValueError with one clear sentence if it cannot be had, or not all of it.
    """
    model = _loaded(AutoModelForCausalLM, name, _config(name), dtype)
    # The sampling settings a model was published with would silently change ours: the course always passes its own.
    model.generation_config = transformers.GenerationConfig()
    return model.to(device or default_device()).eval()


def zoo_names() -> list[str]:
    """The policies of the long runs that come with the package."""
    return sorted(folder.name for folder in (pocket.DATA / "zoo").glob("*/"))


def zoo(name: str, *, device: str | torch.device | None = None) -> transformers.PreTrainedModel:
    """A policy of the long runs that comes with the package, by its method: "dpo", "rloo", ... (data/zoo, the first seed
    of `make claims`). ValueError with the names that there are for another."""
    if name not in zoo_names():
        raise ValueError(f"There is no policy '{name}' in the zoo; there are {', '.join(zoo_names()) or 'none'}.")
    return load_model(str(pocket.DATA / "zoo" / name), device=device)


def load_reward_model(
    name: str, *, device: str | torch.device | None = None, dtype: torch.dtype = torch.float32
) -> transformers.PreTrainedModel:
    """A sequence-classification model with one output, the score, or with two, the classes good and bad; without
    dropout, in eval mode, on `device`. `judges.RewardModel.load` gives it with its tokenizer, as a judge.

    Raises ValueError with one clear sentence if it cannot be had, or not all of it.
    """
    config = _config(name)
    kinds = config.architectures or []
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise ValueError(
            f"The model '{name}' is no sequence-classification model but {' or '.join(kinds) or 'unnamed'}; "
            "give a reward model, or make one with models.reward_model_from."
        )
    if config.num_labels not in (1, 2):
        raise ValueError(
            f"The model '{name}' has {config.num_labels} outputs; a reward model has one, the score, or two, the "
            "classes good and bad (num_labels)."
        )
    return _loaded(AutoModelForSequenceClassification, name, config, dtype).to(device or default_device()).eval()


def _loaded(kind, name: str, config, dtype: torch.dtype):
    """The model with every weight that it needs, each a finite number: what is missing would be filled at random."""
    with _told(name, "model") as source, _quiet_loading():
        model, loading = kind.from_pretrained(
            source, config=config, dtype=dtype, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    if loading["missing_keys"]:
        lacking = sorted(loading["missing_keys"])
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ValueError(f"The weights of '{name}' lack {', '.join(lacking[:3])}{more}; save the whole model again.")
    for weight, value in model.named_parameters():
        if not value.isfinite().all():
            raise ValueError(
                f"The weights of '{name}' are not all finite numbers ({weight}): its training had diverged, or the "
                "file is damaged."
            )
    return model


@contextlib.contextmanager
def _told(name: str, what: str):
    """Where to load `name` from. Whatever goes wrong on the way is one ValueError with one sentence, which names a file
    that is no JSON."""
    source = _source(name)
    try:
        yield source
    except Exception as error:  # the libraries raise all kinds for a damaged file
        why = damaged_json(Path(source)) or first_line(error).rstrip(".")
        raise ValueError(f"The {what} of '{name}' could not be loaded: {why}.") from error


def reward_model_from(
    policy: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    seed: int = 0,
    classes: tuple[str, str] | None = None,
) -> transformers.PreTrainedModel:
    """A sequence-classification model with the policy's weights and a new `score` head that is small at first, so that
    all scores are near 0. It has one output, the score, or one for each of two `classes`, the bad one first. The
    policy itself is left alone."""
    if tokenizer.pad_token_id == end_of_turn_id(tokenizer):
        raise ValueError(
            "The tokenizer pads with its end-of-turn token, so that other libraries would not find a response's last "
            "token; give it a pad token of its own."
        )
    config = copy.deepcopy(policy.config)
    names = classes or ("score",)
    config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForSequenceClassification.from_config(config, dtype=policy.dtype, trust_remote_code=False)
    model.base_model.load_state_dict(policy.base_model.state_dict())
    head = model.score.weight
    with torch.no_grad():
        head.copy_(torch.randn(head.shape, generator=torch.Generator().manual_seed(seed)) / head.shape[1])
    return model.to(policy.device).eval()


def _config(name: str):
    """A model's configuration, without dropout: policy and reference must agree exactly at step 0, and a judge must
    say the same thing twice. Nor does a stranger choose what computes attention: it could name code to download."""
    with _told(name, "configuration") as source:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        for part in (config, *(getattr(config, key) for key in config.sub_configs if getattr(config, key, None))):
            part._attn_implementation = part._experts_implementation = None
            for key, value in part.to_dict().items():
                if ("dropout" in key or "pdrop" in key) and isinstance(value, (int, float)):
                    setattr(part, key, 0.0)
    return config


def copy_model(model: torch.nn.Module) -> torch.nn.Module:
    """An independent copy, e.g. the policy that starts where its reference stands."""
    return copy.deepcopy(model)


def fingerprint(model: torch.nn.Module, *, coarse: bool = False) -> str:
    """A short hash of every weight, for cache keys: equal models have equal fingerprints.

    coarse: of the weights in half precision, so that a policy that was kept at two bytes a weight is still the one that
    was trained: what it answered, it need not answer again.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        seen = value.detach().cpu().to(torch.float16 if coarse else value.dtype)
        digest.update(seen.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def save_checkpoint(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    folder: str | Path,
    history=None,
) -> None:
    """Write model and tokenizer to `folder` in the standard format (safetensors), and with them the `history` of the
    training if there is one: whole or not at all, and never in the place of what prefnb did not write (ValueError, as
    for a disk that is full)."""
    try:
        with files.written_whole(folder, made_by=f"prefnb {prefnb.__version__}") as part:
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
            if history is not None:
                history.save(part / "history.json")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"The model cannot be written to '{folder}' ({reason(error)}).") from error


@contextlib.contextmanager
def _quiet_loading():
    """transformers draws a progress bar for every load; a notebook that loads in 50 ms does not need it."""
    was_on = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            transformers.utils.logging.enable_progress_bar()
