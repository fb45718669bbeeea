"""A job that trains nothing: it can be started by hundreds."""

import json
import os
import time

from mixlab.runs.atomic import write_json
from mixlab.signals import end_with_parent
from mixlab.sweeps.worker import JobSpec

SECONDS = 0.05


def job(ticket: JobSpec) -> None:
    """Take a while, and leave a record that says with which GPU and when."""
    os.setsid()
    end_with_parent()
    os.environ.update(ticket.environment)
    began = time.time()
    time.sleep(json.loads(ticket.config or "{}").get("seconds", SECONDS))
    ticket.folder.mkdir(parents=True, exist_ok=True)
    write_json(
        ticket.folder / "run.json",
        {
            "status": "finished",
            "results": {},
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "began": began,
            "ended": time.time(),
        },
    )
