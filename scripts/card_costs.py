"""The costs and the strengths of mixing methods, in the words of their cards."""

from math import floor
from typing import Any

from card_words import COMMAND, filled, is_in_network, marked, short
from omegaconf import DictConfig

from mixlab.config.build import build
from mixlab.mixing.binding import needs_network

SHAPES = {"32": "(128, 3, 32, 32)", "224": "(64, 3, 224, 224)"}
TABLE_WORDS = f"""\
In the tables, 32 px and 224 px are milliseconds of processor time for a batch {SHAPES["32"]} and a
batch {SHAPES["224"]}, and strength is the largest `mixing.strength`. The cards below have the same
times in copies, as multiples of the time to copy the batch.
[What the figures mean](#what-the-figures-mean) says more."""
STRENGTH_WORDS = """\
The largest `mixing.strength` is the mean share of a row that others replace when every row is
mixed. The tables have it for the default partners in batches of 64, rounded down: a permutation
makes one row in 64 its own partner, on average. It was measured on images of 3 x 32 x 32 (point
clouds: 3 x 64), for `saliencymix` on noise: it replaces more where objects are in the middle, and a
training measures that on its own rows. It differs between image sizes, also those of features:
where partners are always other rows, CutMix reaches 0.280 at 16 x 16, 0.303 at 32 x 32 and 0.322 at
224 x 224. With `data=digits` and batches of 64 it reaches 0.296."""
BESIDE_WORDS = "Other libraries, and a costly setting: `fmix, soft edges` has `max_soft=0.2`."
ROWS_AT_ONCE = 64  # of the default batch


def index(grouped: dict[str, list[str]], costs: dict[str, Any]) -> str:
    """A table of the cards of each group: what it does, what it costs, how strong it can be."""
    tables = []
    for title, names in grouped.items():
        lines = [
            f"**{title}**\n",
            "| `mixing=` | what it does | 32 px | 224 px | strength |",
            "| --- | --- | ---: | ---: | ---: |",
        ]
        for name in names:
            cells = [marked(short(name)), *cost_cells(name, costs, "row")[:2], largest(name, costs)]
            lines.append(f"| [{name}](#{name}) | {' | '.join(map(str, cells))} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def largest(name: str, costs: dict[str, Any]) -> str:
    """The largest strength with the default partners, rounded down."""
    reach = costs["reach"]["methods"].get(name)
    return "-" if reach is None else f"{floor(100 * reach * (1 - 1 / ROWS_AT_ONCE)) / 100:.2f}"


def peers(costs: dict[str, Any]) -> str:
    """A table of what was measured beside the methods: other libraries, and parts of the work."""
    lines = [
        "**For comparison**\n",
        "| what | draws | 32 px | 224 px | copies |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name in costs["costs"]["beside"]:
        for draws in ("row", "batch"):
            cells = cost_cells(name, costs, draws)
            if set(cells) != {"-"}:
                lines.append(f"| {name} | per {draws} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + f"\n\n{BESIDE_WORDS}"


def cost_cells(name: str, costs: dict[str, Any], draws: str) -> list[Any]:
    """Milliseconds at both sizes and copies at the larger; "-" for what was not measured."""
    before = "" if draws == "row" else "batch_"
    small, large = (costs["costs"][size].get(name, {}) for size in SHAPES)
    found = [small.get(f"{before}ms"), large.get(f"{before}ms"), large.get(f"{before}copies")]
    return ["-" if each is None else figure(each) for each in found[:2]] + [copies_of(found[2])]


def figure(value: float) -> str:
    """A time of two digits as it was measured: 0.14, 4.5, 18, 170."""
    return f"{value:.0f}" if value >= 10 else str(value)


def copies_of(value: float | None) -> str:
    """Whole copies above 10, where tenths are noise."""
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def cost_words(name: str, node: DictConfig, costs: dict[str, Any]) -> str:
    """Milliseconds of a batch at each size, and what computing saliency maps takes."""
    of, look = costs["costs"], costs["looks"]["methods"].get(name)
    found = {shape: of[size].get(name, {}) for size, shape in SHAPES.items()}
    words = [words_at(shape, each) for shape, each in found.items() if "ms" in each]
    if name in of.get("own", {}):
        words.append(f"{figure(of['own'][name]['ms'])} ms for a batch {of['own'][name]['shape']}")
    if words and is_in_network(node):
        words[-1] += ", without what the callback does"
    if words and look and needs_network(build(node.method, allow=())):
        words[-1] += ", without the saliency maps"
    if look:
        words.append(
            f"at (64, 3, 32, 32) the maps take {figure(look['look_ms'])} ms and the rest "
            f"{figure(look['rest_ms'])} ms, together {look['of_step']} of a training step of "
            "`resnet20`"
        )
    return f"{'; '.join(words)}." if words else "not measured yet."


def words_at(shape: str, found: dict[str, Any]) -> str:
    """What a batch of this shape takes, and with one draw for the batch where that is a choice."""
    once, copies = "", copies_of(found["copies"])
    if "batch_ms" in found:
        once = f", {figure(found['batch_ms'])} ms with one draw for the batch"
    return f"{figure(found['ms'])} ms ({copies} copies) for a batch {shape}{once}"


def measured_words(costs: dict[str, Any]) -> str:
    """Where and when costs were measured, and what the numbers are."""
    of, looks, large = costs["costs"]["measured"], costs["looks"]["measured"], costs["costs"]["224"]
    costs_words = filled(
        f"`{COMMAND}` makes this page again. Costs are processor time of drawing and applying on "
        f"one thread of an {of['cpu']}, trimmed means of {of['turns']} repetitions, {when(of)}, "
        f"for batches {SHAPES['32']} and {SHAPES['224']}. Copies are multiples of the time to copy "
        f"the batch, which is {large['a copy']['ms']} ms at 224, in memory that is kept, as in a "
        "training. A method that needs maps of the network is given them; the time to compute them "
        f"is on its card ({when(looks)}). A dash stands for a method that does not take such "
        "images, or whose work a network does. `python benchmarks/mixing.py --write "
        "docs/methods_costs.json` and `python benchmarks/guided_mixing.py --write "
        "docs/methods_costs.json` measure them. "
        "What an epoch of your training costs is the column time/epoch of `mixlab-compare`; with "
        "`hydra.launcher.jobs=1` no run takes the time of another."
    )
    return f"{costs_words}\n\n{STRENGTH_WORDS}"


def when(measured: dict[str, Any]) -> str:
    """The day, and what has to be known of it."""
    return measured["date"] + (f", {measured['note']}" if measured["note"] else "")
