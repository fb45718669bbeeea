"""What a report shows of very many arms, blocks or notes. `report.csv` has them all."""

import math
from collections.abc import Sequence
from dataclasses import replace

from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Question

MOST_ARMS, WORST = 60, 20  # arms of a block that are shown, and how many of them from the end
MOST_SECTIONS = 50  # blocks that are shown
MOST_NOTES = 40  # of a block, and of the whole
CSV = "report.csv (--output DIR) and --format csv have all of them"


def abridged(comparison: Comparison) -> Comparison:
    """The comparison as it is shown; a small one is returned as it is."""
    blocks = [_abridged_block(block, comparison.question) for block in comparison.blocks]
    notes = list(comparison.notes)
    if len(blocks) > MOST_SECTIONS:
        notes.insert(0, f"shown are the first {MOST_SECTIONS} of {len(blocks)} blocks; {CSV}")
    shown = tuple(blocks[:MOST_SECTIONS])
    return replace(comparison, blocks=shown, notes=_first_and_last(notes))


def _abridged_block(block: Block, question: Question) -> Block:
    notes = block.notes
    if len(block.arms) > MOST_ARMS:
        base = [arm for arm in block.arms if arm is block.baseline]
        ranked = _ranked([arm for arm in block.arms if arm is not block.baseline], block, question)
        best, worst = ranked[: MOST_ARMS - WORST - len(base)], ranked[-WORST:]
        shown = (*base, *best, *worst)
        kept = set(map(id, shown))
        hidden = tuple(arm for arm in block.arms if id(arm) not in kept)
        note = (
            f"shown are {len(best)} arms with the best and {len(worst)} with the worst mean of "
            f"{len(block.arms)}, best first; {CSV}. p is adjusted for all of them. The best of so "
            "many is partly luck: train it again with fresh seeds before believing its lead"
        )
        block, notes = replace(block, arms=shown, hidden=hidden), (note, *notes)
    return replace(block, notes=_first_and_last(notes))


def _ranked(arms: Sequence[Arm], block: Block, question: Question) -> list[Arm]:
    """Best first, by the difference to the baseline, or by the mean where there is none.

    Arms without results are in the middle, where they are not shown.
    """

    def merit(arm: Arm) -> float:
        result = arm.results.get(block.headline)
        if result is None:
            return math.nan
        found = result.difference.mean if block.baseline else result.summary.mean
        return found if question.higher_is_better else -found

    known = sorted((arm for arm in arms if not math.isnan(merit(arm))), key=lambda a: -merit(a))
    without = [arm for arm in arms if math.isnan(merit(arm))]
    place = max(0, len(known) - WORST)
    return [*known[:place], *without, *known[place:]]


def _first_and_last(notes: Sequence[str]) -> tuple[str, ...]:
    """Notes on arms come first and those on all runs last, so both ends are kept."""
    if len(notes) <= MOST_NOTES + 1:
        return tuple(notes)
    half = MOST_NOTES // 2
    left = f"{len(notes) - 2 * half} more notes are not shown; mixlab-sweep status shows each run"
    return (*notes[:half], left, *notes[-half:])
