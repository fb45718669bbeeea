"""Commands in processes that are forked from one with the libraries loaded: they start at once.

A command takes five seconds to import torch and Lightning, and the pages have a hundred commands.
A fork runs the same script, with its own arguments, environment, working directory and output.
"""

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

LIBRARIES = (
    "mixlab.training.fit", "mixlab.evaluation.checkpoints", "mixlab.previews.figures",
    "mixlab.reporting.comparison", "mixlab.sweeps.sweep", "sklearn.datasets", "timm",
)  # fmt: skip


@cache
def server() -> subprocess.Popen[str]:
    """The process that is forked; it ends when its standard input does."""
    words = [sys.executable, __file__]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


def run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a Python script with its arguments in the working directory, like `subprocess.run`."""
    with ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.NamedTemporaryFile("r")) for _ in range(2))
        request = {
            "words": list(words), "cwd": os.getcwd(), "env": dict(os.environ),
            "out": out.name, "err": err.name,
        }  # fmt: skip
        process = server()
        assert process.stdin and process.stdout
        print(json.dumps(request), file=process.stdin, flush=True)
        status = int(process.stdout.readline())
        return subprocess.CompletedProcess(words, status, out.read(), err.read())


def serve() -> None:
    """Fork for each line of standard input; answer with the exit status."""
    for name in LIBRARIES:
        import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            become(**request)
            return


def become(words: list[str], cwd: str, env: dict[str, str], **files: Any) -> None:
    """Be the script, as if Python had started it."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, name in enumerate((os.devnull, files["out"], files["err"])):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.stdin = open(0, closefd=False)  # the other one has read ahead
    sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    serve()
