"""The tally: exact sums, whenever the waiting batches are counted."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mixlab.models.metrics import BATCHES_TOGETHER, RunningMetrics

Batches = list[tuple[Tensor, Tensor, Tensor]]


def batches(sizes: list[int], seed: int) -> Batches:
    """Loss, logits and class numbers, or soft targets in every other batch."""
    generator = torch.Generator().manual_seed(seed)
    made: Batches = []
    for number, size in enumerate(sizes):
        logits = torch.randn(size, 5, generator=generator)
        targets = torch.randint(5, (size,), generator=generator)
        dense = F.one_hot(targets, 5).float()
        made.append((F.cross_entropy(logits, targets), logits, dense if number % 2 else targets))
    return made


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=2 * BATCHES_TOGETHER + 3),
    counted_after=st.sets(st.integers(0, 2 * BATCHES_TOGETHER)),
    seed=st.integers(0, 2**31),
)
def test_sums_do_not_depend_on_when_the_waiting_are_counted(
    sizes: list[int], counted_after: set[int], seed: int
) -> None:
    plain, eager = RunningMetrics(), RunningMetrics()
    for number, batch in enumerate(batches(sizes, seed)):
        plain.add(*batch)
        eager.add(*batch)
        if number in counted_after:
            eager = RunningMetrics.of(eager.sums())  # as a checkpoint does
    assert torch.equal(plain.sums(), eager.sums())


def test_means_are_over_rows_not_over_batches() -> None:
    made = batches([7, 1, 4] * BATCHES_TOGETHER, seed=0)
    tally = RunningMetrics()
    for batch in made:
        tally.add(*batch)
    logits = torch.cat([logits for _, logits, _ in made])
    classes = torch.cat([t.argmax(1) if t.ndim == 2 else t for _, _, t in made])
    means = tally.means(lambda sums: sums, torch.device("cpu"))
    torch.testing.assert_close(means["loss"], F.cross_entropy(logits, classes))
    torch.testing.assert_close(means["accuracy"], (logits.argmax(1) == classes).float().mean())
