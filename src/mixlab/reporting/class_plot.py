"""A row per class: the accuracy of each class under each arm, less that of the baseline."""

from matplotlib.figure import Figure

from mixlab.reporting import formatting, style
from mixlab.reporting.by_class import class_pairs
from mixlab.reporting.comparison import Block

MOST_DRAWN = 24  # classes; of more, those that change most
CLASS_ROW, BELOW, ABOVE = 0.21, 0.56, 0.12  # inches


def draw_classes(block: Block, *, stacked: bool = False) -> Figure | None:
    """A dot per class and arm, the class that gains most on top; None if nothing is recorded."""
    changes: dict[str, dict[str, float]] = {}  # by class and arm
    for arm, name, own, base in class_pairs(block):
        changes.setdefault(name, {})[arm] = (sum(own) - sum(base)) / len(own)
    if not changes:
        return None
    largest = sorted(changes, key=lambda name: -max(map(abs, changes[name].values())))[:MOST_DRAWN]
    names = sorted(largest, key=lambda name: -max(changes[name].values()))
    in_unit, ink = formatting.unit("accuracy"), style.TEXT_INK
    drawn = [(i, arm) for i, arm in enumerate(block.arms) if arm is not block.baseline]
    with style.styled(ink):
        columns = 2 if stacked else 3
        legend = style.LEGEND_LINE * -(-len(drawn) // columns)
        width = style.STACKED_WIDTH if stacked else style.FIGURE_WIDTH
        height = BELOW + legend + CLASS_ROW * len(names) + ABOVE
        figure = Figure(figsize=(width, height))
        longest = 16 if stacked else 34
        shown = [style.one_line_label(name, longest) for name in names]
        left = 0.03 + (0.16 if stacked else 0.085) / 10 * max(map(len, shown))
        low, high = (BELOW + legend) / height, 1 - ABOVE / height
        axes = figure.add_axes((left, low, 0.98 - left, high - low))
        axes.axvline(0, color=ink, linewidth=0.9, alpha=0.7)
        for index, arm in drawn:
            places = [y for y, name in enumerate(names) if arm.label in changes[name]]
            values = [changes[names[y]][arm.label] * in_unit.factor for y in places]
            axes.plot(values, places, linestyle="", marker="o", markersize=5,
                      color=style.color(index), alpha=0.9)  # fmt: skip
        axes.set_yticks(range(len(names)), shown)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"difference in accuracy, {in_unit.of_difference}")
        axes.grid(linewidth=0.5, alpha=0.25)
        axes.set_axisbelow(True)
        style.legend_below(figure, [(i, arm.label) for i, arm in drawn], "o", columns)
    return figure


def left_out(block: Block) -> int:
    """How many classes are not drawn."""
    return max(0, len({name for _, name, *_ in class_pairs(block)}) - MOST_DRAWN)
