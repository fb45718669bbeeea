"""The costs and the strengths of mixing methods, in the words of their cards."""

from typing import Any

from card_words import COMMAND, filled, is_in_network
from omegaconf import DictConfig

from mixlab.config.build import build
from mixlab.mixing.binding import needs_network

SHAPES = {"32": "(128, 3, 32, 32)", "224": "(64, 3, 224, 224)"}
STRENGTH_WORDS = """\
The largest `mixing.strength` is the mean share of a row that others replace when every row is
mixed. It was measured on images of 3 x 32 x 32 (point clouds: 3 x 64) whose partners are always
other rows; where masks depend on the image it is an estimate. It differs between image sizes:
CutMix reaches 0.280 at 16 x 16, 0.303 at 32 x 32 and 0.322 at 224 x 224. It is also a little lower
if rows can be their own partners, as with the default partners, a permutation of the batch:
CutMix reaches 0.296 with `data=digits` and batches of 64."""


def index(grouped: dict[str, list[str]], costs: dict[str, Any]) -> str:
    """A table of all cards: what each costs, and how strong it can be."""
    lines = [
        "| `mixing=` | group | ms at 32 | ms at 224 | copies at 224 | largest strength at 32 |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for title, names in grouped.items():
        for name in names:
            cells = [*cost_cells(name, costs, "row"), costs["reach"]["methods"].get(name, "-")]
            lines.append(f"| [{name}](#{name}) | {title.lower()} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def peers(costs: dict[str, Any]) -> str:
    """A table of what was measured beside the methods: other libraries, and parts of the work."""
    lines = [
        "| for comparison | draws | ms at 32 | ms at 224 | copies at 224 |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name in costs["costs"]["beside"]:
        for draws in ("row", "batch"):
            cells = cost_cells(name, costs, draws)
            if set(cells) != {"-"}:
                lines.append(f"| {name} | per {draws} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def cost_cells(name: str, costs: dict[str, Any], draws: str) -> list[Any]:
    """Milliseconds at both sizes and copies at the larger; "-" for what was not measured."""
    before = "" if draws == "row" else "batch_"
    small, large = (costs["costs"][size].get(name, {}) for size in SHAPES)
    found = [small.get(f"{before}ms"), large.get(f"{before}ms"), large.get(f"{before}copies")]
    return ["-" if each is None else each for each in found]


def cost_words(name: str, node: DictConfig, costs: dict[str, Any]) -> str:
    """Milliseconds of a batch at each size, and what the look at the network takes."""
    look = costs["looks"]["methods"].get(name)
    found = {shape: costs["costs"][size].get(name, {}) for size, shape in SHAPES.items()}
    measured = [words_at(shape, each) for shape, each in found.items() if each]
    if not measured:
        return "not measured yet."
    words = "; ".join(measured)
    is_in_step = is_in_network(node) and any("ms" in each for each in found.values())
    words += ", without what the callback does" if is_in_step else ""
    if look is None:
        return f"{words}."
    is_given = needs_network(build(node.method, allow=()))
    return (
        f"{words}{', without the look' if is_given else ''}. At (64, 3, 32, 32) the "
        f"look takes {look['look_ms']} ms and the rest {look['rest_ms']} ms: {look['of_step']} of "
        "a training step of `resnet20`."
    )


def words_at(shape: str, found: dict[str, Any]) -> str:
    """What a batch of this shape takes with draws for each row and for the batch."""
    if "refused" in found:
        return f"not measured at {shape}: {found['refused']}"
    once = f", {found['batch_ms']} ms with one draw for the batch" if "batch_ms" in found else ""
    return f"{found['ms']} ms for a batch {shape}, {found['copies']} times a copy of it{once}"


def measured_words(costs: dict[str, Any]) -> str:
    """Where and when costs were measured, and what the numbers are."""
    of, large = costs["costs"]["measured"], costs["costs"]["224"]
    note = f" ({of['note']})" if of["note"] else ""
    costs_words = filled(
        f"`{COMMAND}` makes this page again. Costs are processor time of drawing and applying on "
        f"one thread of an {of['cpu']}, medians of {of['turns']} repetitions, {of['date']}{note}, "
        f"for batches {SHAPES['32']} and {SHAPES['224']} with draws for each row. At 224 they are "
        "also given as multiples of the time to copy the batch, which is "
        f"{large['a copy']['ms']} ms in memory that is kept, as in a training. "
        "`python benchmarks/mixing.py --write docs/methods_costs.json` and `python "
        "benchmarks/guided_mixing.py --write docs/methods_costs.json` measure them. "
    )
    return f"{costs_words}\n\n{STRENGTH_WORDS}"
