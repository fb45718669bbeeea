"""How long a slip on the command line takes to be refused, in seconds; the bound is 3.

python benchmarks/refusals.py [REPEATS]
"""

import statistics
import subprocess
import sys
import time

BOUND = 3.0
SLIPS = {
    "a misspelled key": "optimizer.lrr=0.1",
    "a misspelled key behind +": "+optimizer.lrr=0.1",
    "a misspelled choice": "mixing=mixupp",
    "a value out of range": "trainer.max_epochs=0",
    "mixing out of range": "mixing.probability=1.5",
    "a method's knob": "mixing.method.alpha=0",
    "a target": "model.network._target_=os.system",
}


def seconds(argument: str) -> float:
    """One refusal, from the start of the process to its end."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "mixlab.train", argument]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    return time.perf_counter() - began


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for what, argument in SLIPS.items():
        took = [seconds(argument) for _ in range(repeats)]
        verdict = "within" if max(took) <= BOUND else "OVER"
        print(
            f"{what:23} {statistics.median(took):5.2f} (max {max(took):5.2f})  {verdict} {BOUND:g}"
        )


if __name__ == "__main__":
    main()
