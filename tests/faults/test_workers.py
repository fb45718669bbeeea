"""A loader's worker is killed, as the kernel does where memory runs out."""

import os
import signal
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from faults.conftest import Injected
from helpers.killed import train_in_child
from helpers.small_runs import small, train_with
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from test_resume import ALL_THAT_DRAWS, jpegs, unequal

DIED = "DataLoader worker .*(is killed by signal: Killed|exited unexpectedly)"


class KillAWorker(pl.Callback):
    """SIGKILL to one of the loader's processes, in the second epoch."""

    killed = 0

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == (1, 1):
            worker, *_ = active_children()
            os.kill(worker.pid or 0, signal.SIGKILL)
            worker.join()
            self.killed += 1


@pytest.mark.timeout(120)
def test_the_run_fails_with_the_reason_and_goes_on(tmp_path: Path, injected: Injected) -> None:
    made = (*ALL_THAT_DRAWS, *jpegs(tmp_path, 2), "data.batch_size=16")
    once, again = (small(tmp_path / name, *made) for name in ("once", "again"))
    assert train_in_child(once) == 0
    kill = KillAWorker()
    with pytest.raises(RuntimeError, match=DIED) as error:
        train_with(again, kill)
    record = read_json(run_folder(again) / "run.json")
    assert record["status"] == "failed" and str(error.value) in record["error"]
    train_with(again)
    assert unequal(once, again) == []
    injected("loader worker killed", kill.killed, "the run fails with the reason; then same bits")
