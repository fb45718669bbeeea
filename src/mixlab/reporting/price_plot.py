"""What an arm gains against what it costs: its difference to the baseline over its extra time."""

from matplotlib.figure import Figure

from mixlab.reporting import formatting, style
from mixlab.reporting.comparison import Arm, Block, Comparison

PRICE_HEIGHT = 2.9  # inches, without the legend


def draw_price(block: Block, comparison: Comparison, *, stacked: bool = False) -> Figure | None:
    """A mark per arm with its interval, the baseline at 0, 0; None if no arm has both figures."""
    arms = [(index, arm) for index, arm in enumerate(block.arms) if _is_priced(arm, block)]
    if not arms:
        return None
    in_unit, ink = formatting.unit(comparison.question), style.TEXT_INK
    with style.styled(ink):
        columns = 2 if stacked else 3
        legend = style.LEGEND_LINE * -(-len(arms) // columns)
        width, height = (
            style.STACKED_WIDTH if stacked else style.FIGURE_WIDTH,
            PRICE_HEIGHT + legend,
        )
        figure = Figure(figsize=(width, height))
        left = 0.07 * style.FIGURE_WIDTH / width
        low, high = (0.56 + legend) / height, 1 - 0.12 / height
        axes = figure.add_axes((left, low, 0.99 - left, high - low))
        axes.axhline(0, color=ink, linewidth=0.9, alpha=0.7)
        axes.plot([0], [0], marker="o", markersize=6, color=style.color(0))
        for index, arm in arms:
            difference = arm.results[block.headline].difference
            place, color = 100 * ((arm.cost_ratio or 1) - 1), style.color(index)
            if difference.n > 1:
                ends = [difference.low * in_unit.factor, difference.high * in_unit.factor]
                axes.plot([place, place], ends, color=color, linewidth=1.8)
            mean = difference.mean * in_unit.factor
            axes.plot([place], [mean], marker="D", markersize=6, color=color, linestyle="")
        axes.set_xlabel("extra time per epoch, %")
        axes.set_ylabel(formatting.joined("difference", in_unit.of_difference))
        axes.margins(x=0.08, y=0.12)
        axes.grid(linewidth=0.5, alpha=0.25)
        axes.set_axisbelow(True)
        style.legend_below(figure, [(i, arm.label) for i, arm in arms], "D", columns)
    return figure


def _is_priced(arm: Arm, block: Block) -> bool:
    result = arm.results.get(block.headline)
    compared = arm is not block.baseline and result is not None and result.difference.n > 0
    return compared and arm.cost_ratio is not None
