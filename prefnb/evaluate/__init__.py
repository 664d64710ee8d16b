"""How good is a policy? Win rates with intervals over prompts and seeds, paired tests, ranks as ranges, length control,
text measures, sampled KL, collapse.

Everything here reads scores, texts or log-probs that exist already; nothing samples or trains. Rates are in
0..1, KLs in nats per response, intervals are 95% as `(low, high)`. What is random (the bootstrap, the subset
that self-BLEU compares) has its own `seed`.
"""

from prefnb.evaluate.collapse import Collapse, collapse_check
from prefnb.evaluate.differences import PairedTest, paired_test
from prefnb.evaluate.intervals import bootstrap_interval, change, mean_and_interval, verdict, wilson_interval
from prefnb.evaluate.length_control import LengthControlled, length_controlled_win_rate
from prefnb.evaluate.ranks import Rank, bradley_terry, rank_ranges
from prefnb.evaluate.sampled_kl import kl
from prefnb.evaluate.seeds import Crossed, crossed, crossed_interval
from prefnb.evaluate.texts import bleu, distinct_n, finished_share, mean_length, perplexity, self_bleu
from prefnb.evaluate.win_rates import WinRate, by_category, outcomes, win_rate
