"""A comparison in which every name and message comes from somebody unkind."""

import json
from pathlib import Path

from helpers.written_runs import config, mixing, write_arms, write_sweep

SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"
NAME = f"{SCRIPT}|`x`$\\frac_[a](javascript:alert(3))*&\x1b[31m\n"


def hostile_sweep(root: Path) -> Path:
    """Names of data, model, method, task, metric, sweep, commands and errors."""
    names = {"data.name": NAME, "model.name": IMAGE, "task_name": "task", "trainer.precision": NAME}
    node = mixing("Mixup")
    assert node is not None
    evil = json.loads(json.dumps(node))
    evil["method"]["_target_"] = f"mylab.{SCRIPT}"
    arms = {
        "none": (config(None, **names), 0.9),
        "mixup": (config(mixing("Mixup", partners_of=NAME), **names), 0.91),
        "mixup2": (config(mixing("Mixup", partners_of=IMAGE), **names), 0.91),
        "evil": (config(evil, **names), 0.92),
    }
    folders = write_arms(
        root, arms, range(3), arm="evil <b>", threads=SCRIPT, versions={SCRIPT: IMAGE},
        command=f"mixlab-train {SCRIPT}", monitor={"metric": SCRIPT, "mode": SCRIPT},
        git=IMAGE, started=IMAGE, code={SCRIPT: 1},
    )  # fmt: skip
    for i, status in enumerate(("failed", "diverged", SCRIPT)):
        path = folders[4 * i + 1] / "run.json"
        record = json.loads(path.read_text()) | {"status": status, "error": IMAGE + "\x1b[31m\n"}
        path.write_text(json.dumps(record | {"versions": {SCRIPT: "other"}, "code": {SCRIPT: i}}))
    return write_sweep(root, "sweep <b>", folders)
