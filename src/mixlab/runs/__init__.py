"""Run folders and sweeps: who a run is, where it lies, and what is known of it."""

from mixlab.runs.folder import Run
from mixlab.runs.identity import arm_hash, arm_slug, run_folder

__all__ = ["Run", "arm_hash", "arm_slug", "run_folder"]
