"""How long a large sweep takes until its first job starts: compose, plan, write the records.

python benchmarks/sweep_start.py [ARMS] [SEEDS]

The jobs do not train: the launcher notes when it would start the first one, and stops there.
"""

import sys
import tempfile
import time
from pathlib import Path

BOUND = 15.0  # seconds, for 100 arms at 10 seeds


class Began(BaseException):
    """The first job would start now."""


def main() -> None:
    arms, seeds = (int(word) for word in (*sys.argv[1:3], "100", "10")[:2])
    began = time.perf_counter()
    from mixlab import train
    from mixlab.sweeps import launch

    def first_job(*_: object) -> None:
        raise Began

    launch.run_all = first_job
    with tempfile.TemporaryDirectory() as folder:
        rates = ",".join(f"{(number + 1) / 1e4:g}" for number in range(arms))
        sys.argv = [
            "mixlab-train", "-m", "trainer=cpu", "mixing=none", f"optimizer.lr={rates}",
            f"seeds={seeds}", f"paths.log_dir={folder}",
        ]  # fmt: skip
        try:
            train.main()
        except Began:
            seconds, busy = time.perf_counter() - began, time.process_time()
        records = len(list(Path(folder).glob("runs/*/*/*/run.json")))
    assert records == arms * seeds, f"{records} records"
    print(
        f"{records} runs planned, first job after {seconds:.1f} s (bound {BOUND:g} s), "
        f"{busy:.1f} s of processor time"
    )


if __name__ == "__main__":
    main()
