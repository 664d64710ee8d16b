"""The judge that a notebook's parameter names."""

from __future__ import annotations

from collections.abc import Callable

from prefnb.judges.remote import RemoteRewardModel
from prefnb.judges.reward_models import RewardModel
from prefnb.judges.scores import Judge
from prefnb.parameters import ParameterError


def named(name: str | None, own: Judge | None, make_proxy: Callable[[], Judge]) -> Judge | None:
    """The judge of this name; its `.name` is fit for a sentence that says whose verdict is told.

    "gold" is `own`, the judge that knows the data's right answers (`data.Source.judge`); "proxy" is `make_proxy()`, a
    reward model trained on the data's pairs; "https://host/v1#model" is a remote one (`RemoteRewardModel`); any other
    name is a reward model's local folder or hub name. None is `own` as well, and stays None where there is none. Raises
    ValueError for "gold" where there is none, and for a model that cannot be had.
    """
    if name == "gold" and own is None:
        raise ParameterError(
            "The judge 'gold' needs the pocket world, where a program knows the answers; with other data take 'proxy'."
        )
    if name in (None, "gold"):
        return own
    if name.startswith(("https://", "http://")):
        url, _, model = name.partition("#")
        return RemoteRewardModel(url, model)
    return make_proxy() if name == "proxy" else RewardModel.load(name)
