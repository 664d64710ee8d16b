"""The one training loop, for every method: its steps, its schedule, its monitor, and the run that was interrupted."""

from prefnb.training.history import History
from prefnb.training.loop import train
from prefnb.training.schedule import schedule_factor
from prefnb.training.step import OnPolicyTerm
