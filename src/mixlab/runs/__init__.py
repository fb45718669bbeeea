"""Run folders and sweeps: who a run is, where it lies, and what is known of it."""

from mixlab.runs.identity import arm_hash, arm_slug, run_folder
from mixlab.runs.run import Run

__all__ = ["Run", "arm_hash", "arm_slug", "run_folder"]
