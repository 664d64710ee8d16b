"""Response log-probs: how likely a model finds a response, token by token.

`S(y) = sum_t log pi(y_t | x, y_<t)` is the one quantity that every objective of this course is made of. `Scorer`
computes it from a model. The output head (hidden size x vocabulary) runs on response positions only, a chunk at a
time, and its log-sum-exp is computed again in the backward pass, so that no (tokens x vocabulary) tensor outlives
its chunk: at Qwen2.5's vocabulary of 151,936 that tensor would be larger than the model.
"""

from prefnb.logprobs.head import HeadLogprobs
from prefnb.logprobs.responses import Loss, ResponseLogprobs, from_tokens
from prefnb.logprobs.reward_scorer import RewardScorer, score_of
from prefnb.logprobs.scorer import Scorer, hidden_states, rows_of_like_length
from prefnb.logprobs.stored import DatasetLogprobs
