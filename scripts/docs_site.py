"""A hook of mkdocs: the pages at the top of the repository join those of docs/, links adapted."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    "README.md": "index.md",
    **{f"{name}.md": f"{name}.md" for name in ("SECURITY", "CONTRIBUTING", "CHANGELOG")},
}
LINK = re.compile(r"(?<!!)\[([^]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]+)?\)")
PICTURE = re.compile(r"(!\[[^]]*\]\()docs/")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages at the top under the names that they have on the site."""
    for name, page in TOP.items():
        text = adapted((ROOT / name).read_text(), ROOT)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The same for links of docs/ to the top."""
    return markdown if page.file.src_uri in TOP.values() else adapted(markdown, ROOT / "docs")


def adapted(text: str, folder: Path) -> str:
    """`text` of a page in `folder`, with links to pages of the site; links to code become words."""

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        path = PurePosixPath((folder / target).resolve().relative_to(ROOT))
        if str(path) in TOP:
            return f"[{words}]({TOP[str(path)]}{anchor})"
        if path.parts[0] == "docs" and len(path.parts) > 1:
            return f"[{words}]({path.relative_to('docs')}{anchor})"
        if (ROOT / path).exists():
            return words
        return match[0]  # leads nowhere, and the strict build says so

    return PICTURE.sub(r"\1", LINK.sub(link, text))
