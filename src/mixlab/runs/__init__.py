"""Run folders: what identifies a run, where its folder is, and what is recorded about it."""

from mixlab.runs.folder import Run
from mixlab.runs.identity import arm_hash, arm_slug, run_folder

__all__ = ["Run", "arm_hash", "arm_slug", "run_folder"]
