"""What comes ready-made with the package, in data/made: policies that take longer than a learner should wait, and the
answers that nearly every notebook compares. `make made` makes them again.

Everything here is an ordinary entry of the cache, made by the recipes at their defaults; with other parameters, or after
an edit to the code that makes it, an entry is not used.
"""

from __future__ import annotations

from types import SimpleNamespace

from prefnb import models, recipes

# recipe, what differs from its defaults
POLICIES = (
    ("sft", {}),
    ("dpo", {}),
    ("reward_model", {}),
    ("rloo", {}),
    ("rloo", {"reward": "proxy", "kl_weight": 0.0}),
    ("grpo", {}),
    ("multi_objective", {}),
    ("multi_objective", {"baseline": "none"}),
)


def main() -> None:
    made = {(name, *given.items()): getattr(recipes, name)(**given) for name, given in POLICIES}
    sft = made["sft",]
    policies = {"base": models.load_model("pocket"), "SFT": sft.model}
    policies |= {str(key): one.model for key, one in made.items() if key[0] != "reward_model"}
    asked = SimpleNamespace(dataset="pocket", test_prompts=520, draws=4, seed=0, max_response_tokens=112)
    recipes.compare(policies, sft.tokenizer, asked)


if __name__ == "__main__":
    main()
