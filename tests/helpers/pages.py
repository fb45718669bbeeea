"""What the pages of README and docs print: blocks of code, and the files that these are for."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


def write_files(folder: Path) -> None:
    """Write the files that blocks name in their first line; several blocks may be of one file.

    The mixing method of the README, which is one of ours there, goes into `mylab.py` as well.
    """
    found = [each for page in PAGES for kind in ("python", "yaml") for each in blocks(page, kind)]
    files = {"mylab.py": next(each for each in found if "class Half" in each)}
    for block in found:
        if name := re.match(r"# (\S+\.(?:py|yaml))\n", block):
            files[name[1]] = files.get(name[1], "") + block
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
