"""Where metrics go: a CSV file that survives a resume, and a W&B run that never blocks."""

from mixlab.loggers.metrics_file import MetricsFile
from mixlab.loggers.wandb_run import WandbRun

__all__ = ["MetricsFile", "WandbRun"]
