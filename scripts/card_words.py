"""What the cards of methods say: of docstrings, configurations and trials, as Markdown."""

import json
import re
import textwrap
from collections.abc import Callable
from inspect import cleandoc, getmodule
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from mixlab.errors import UserError
from mixlab.mixing.binding import needs_network

COMMAND = "python scripts/method_cards.py"
CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "mixing"
LONGEST_NAME = 6  # words before a colon that are a name; more of them say what a method does
NEEDED = ("Draws", "Label", "Avoid")  # parts of a docstring; the others are optional
PART = re.compile(r"^([A-Z]\w+): (.*?)(?=^[A-Z]\w+:|^$|\Z)", re.S | re.M)
ROWS = {
    "images (C, H, W)": (3, 16, 16),
    "rows (C, L) such as signals, point clouds, tokens": (3, 16),
    "rows (F,) such as tables, embeddings": (16,),
}


def parts_of(kind: type) -> dict[str, str]:
    """The parts of a class's docstring that begin with a word and a colon.

    Raises:
        UserError: one that a card needs is missing.
    """
    text = cleandoc(kind.__doc__ or "").partition("\nAttributes:")[0]
    found = {word: " ".join(part.split()) for word, part in PART.findall(text)}
    if missing := [word for word in NEEDED if word not in found]:
        raise UserError(
            f"the docstring of {kind.__name__} does not say {' and '.join(missing)}; add "
            f"'{missing[0]}: ...' before its Attributes, as CutMix has it, and run {COMMAND}"
        )
    return found


def header(name: str) -> str:
    """The comment at the top of a configuration."""
    lines = (CONFIGS / f"{name}.yaml").read_text().splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:end])


def short(name: str) -> str:
    """What a method does, in a few words: its header's first sentence without name and sources."""
    sentence = re.sub(r" \([^)]*\)", "", header(name)).partition(". ")[0].rstrip(".")
    head, _, rest = sentence.partition(": ")
    return rest if rest and len(head.split()) <= LONGEST_NAME else head


def found_of(text: str) -> str:
    """What the comment of a claim's configuration says was found."""
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    start = next(number for number, line in enumerate(lines) if line.startswith("Found"))
    return " ".join(lines[start:])


def taken(method: Any) -> list[str]:
    """The rows that a method takes, by trying; one with saliency maps takes images.

    Of several methods, one of which may be chosen by chance, what all of them take.
    """
    if hasattr(method, "methods"):
        each = [taken(part) for part in method.methods]
        return [words for words in ROWS if all(words in found for found in each)]
    if hasattr(method, "saliency") or needs_network(method):
        return list(ROWS)[:1]
    return [words for words, shape in ROWS.items() if takes(method, shape)]


def takes(method: Any, shape: tuple[int, ...]) -> bool:
    """Whether a method mixes rows of a shape."""
    rows, targets = torch.rand(4, *shape), torch.eye(4)
    try:
        method(rows, targets, np.random.default_rng(0)).mix(rows, targets)
    except UserError:
        return False
    return True


def network_words(node: DictConfig, method: Any) -> str:
    """Whether the network being trained takes part."""
    if is_in_network(node):
        callback = get_class(node._target_)
        return f"`{callback.__name__}`: {(callback.__doc__ or '').splitlines()[0]}"
    if hasattr(method, "saliency"):
        first = (getmodule(type(method.saliency)).__doc__ or "").splitlines()[0]  # pyright: ignore
        who = "used" if needs_network(method) else "not needed: the map is of the picture alone"
        return f"{who}. {first}"
    return "not needed."


def is_in_network(node: DictConfig) -> bool:
    """Whether a configuration has a callback of its own, which reaches into the network."""
    return get_class(node._target_).__name__ != "MixingCallback"


def settings(node: DictConfig) -> str:
    """What a configuration sets: of its method, and of the shared keys what differs."""
    shared = OmegaConf.load(CONFIGS / "_base.yaml")
    own = {key: value for key, value in node.items() if shared.get(key, "") != value}
    del own["method"]
    rest = {key: value for key, value in own.items() if key != "_target_"}
    words = [f"mixing.{key}={plain_words(value)}" for key, value in rest.items()]
    return " ".join([plain_words(node.method), *words])


def plain_words(value: Any, write: Callable[[Any], str] = json.dumps) -> str:
    """A value of a configuration, as in YAML; a class with its settings as in Python."""
    if OmegaConf.is_list(value):
        return f"[{', '.join(plain_words(each, write) for each in value)}]"
    if OmegaConf.is_dict(value):
        name = value.get("_target_", "").rpartition(".")[2]
        given = {key: each for key, each in value.items() if key != "_target_"}
        words = [f"{key}={plain_words(each, repr)}" for key, each in given.items()]
        return f"{name}({', '.join(words)})"
    return write(value)


VALUE = r"(?:\[[^\]]*\]|\{[^}]*\}|[^\s;,()]*[\w\]}](?:\(\))?)"
KEY = rf"[A-Za-z_][\w.]*={VALUE}"
KEYS = re.compile(rf"(?<![\w/?&=.])({KEY}(?: {KEY})*)")  # not in an address


def marked(text: str) -> str:
    """Text as Markdown: links for addresses, keys with values as code, no emphasis by chance."""
    code = re.split(r"(`[^`]*`)", " ".join(text.split()))
    code[::2] = [KEYS.sub(r"`\1`", each) for each in code[::2]]
    code = re.split(r"(`[^`]*`)", "".join(code))
    code[::2] = [re.sub(r"https?://\S*[\w/]", link, each.replace("*", r"\*"))
                 for each in code[::2]]  # fmt: skip
    return "".join(code)


def link(address: re.Match[str]) -> str:
    """A link to an address; one to arXiv has the number as its words."""
    arxiv = re.search(r"arxiv\.org/abs/(\S+)", address[0])
    return f"[arXiv:{arxiv[1]}]({address[0]})" if arxiv else f"<{address[0]}>"


def filled(text: str) -> str:
    """Lines of at most 100 columns; none begins with a sign that would make it a list."""
    held = re.sub(r" (?=[-+] |\d+\. )", "\0", text)
    indent = "  " if text.startswith("- ") else ""
    lines = textwrap.wrap(
        held, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")
