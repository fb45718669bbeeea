"""Record a sweep that is killed half-way and finished by the same command, as a picture.

python scripts/record_sweep.py docs/pictures/killed_and_finished.svg

Every line is what the command printed, in a folder of its own; on 2 cores it takes a minute.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = (
    "mixlab-train -m mixing=none,mixup,cutmix seeds=2 trainer=cpu data.image_size=16 "
    "trainer.max_epochs=20 logger=csv"
)
ENDED = re.compile(r"\[(\d+)/(\d+)\]")


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip()


def started(folder: str) -> subprocess.Popen[str]:
    words = COMMAND.split()
    program = str(Path(sys.executable).with_name(words[0]))
    return subprocess.Popen(
        [program, *words[1:]],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def killed_half_way(folder: str, console: Console) -> None:
    """Start the sweep, and send SIGKILL to its launcher when half of its runs have ended."""
    process = started(folder)
    for line in lines_of(process):
        console.print(Text(line))
        if (ended := ENDED.match(line)) and 2 * int(ended[1]) >= int(ended[2]):
            time.sleep(0.7)  # the next one is under way
            process.kill()
    assert process.wait() == -9
    console.print(prompt(f"kill -9 {process.pid}", "in another terminal"))


def finished(folder: str, console: Console) -> None:
    """Start it again and let it end."""
    process = started(folder)
    for line in lines_of(process):
        console.print(Text(line))
    assert process.wait() == 0


def prompt(command: str, remark: str = "") -> Text:
    """A command as it is typed."""
    parts = [("$ ", "green"), (command, "bold"), (f"   # {remark}" if remark else "", "dim")]
    return Text.assemble(*parts)


def main(path: Path) -> None:
    console = Console(record=True, width=118, file=StringIO(), force_terminal=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        for act in (killed_half_way, finished):
            console.print(prompt(COMMAND))
            act(folder, console)
            console.print()
    picture = console.export_svg(title="a sweep, killed and finished")
    # No font from the network: text is placed by its width, in whatever monospace font there is.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
