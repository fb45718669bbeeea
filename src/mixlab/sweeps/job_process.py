"""The program of a job that no fork server starts: it reads what to train from standard input."""

import json
import sys
from pathlib import Path

from mixlab.sweeps.worker import JobSpec, run_job

if __name__ == "__main__":
    node = json.load(sys.stdin)
    run_job(JobSpec(node["config"], Path(node["folder"]), node["own"], node["environment"]))
