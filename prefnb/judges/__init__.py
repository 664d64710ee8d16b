"""Judges: (prompts, responses) -> Scores.

A judge is any callable `judge(prompts, responses) -> Scores`, where `prompts` is a list of message lists and
`responses` a list of strings. Scores of different prompts are not comparable: compare responses to the same
prompt (`prefnb.evaluate.win_rate`).
"""

from prefnb.judges.by_name import named
from prefnb.judges.combined import Brevity, Combined, Probability, Several
from prefnb.judges.gold import GoldJudge
from prefnb.judges.remote import LlmJudge, RemoteRewardModel
from prefnb.judges.reward_models import RewardModel
from prefnb.judges.scores import Judge, Scores, check_pairs, last_user_turn, score_samples
