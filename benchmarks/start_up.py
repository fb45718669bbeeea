"""How long it takes until something happens: a command's help, and the import of the engine.

python benchmarks/start_up.py
"""

import statistics
import subprocess
import sys
import time

IMPORT = """
import time, torch
began = time.perf_counter()
import mixlab.mixing
print(time.perf_counter() - began)
"""


def help_of(command: str) -> float:
    """Seconds that `--help` of a command takes, as a whole process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", command, "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def import_of_mixing() -> float:
    """Seconds that `import mixlab.mixing` adds to `import torch`."""
    done = subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True)
    return float(done.stdout)


def main() -> None:
    print(f"{'':36} {'median':>8}  bound")
    for command in ("mixlab.train", "mixlab.compare", "mixlab.evaluate", "mixlab.preview"):
        seconds = statistics.median(help_of(command) for _ in range(5))
        print(f"{'python -m ' + command + ' --help':36} {seconds:6.2f} s  1 s", flush=True)
    seconds = statistics.median(import_of_mixing() for _ in range(5))
    print(f"{'import mixlab.mixing, beside torch':36} {seconds * 1e3:5.0f} ms  50 ms")


if __name__ == "__main__":
    main()
