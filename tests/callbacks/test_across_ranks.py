"""Partners from the rows of all ranks: who is mixed with whom is what one process would choose."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixlab.callbacks import MixingCallback
from mixlab.callbacks.across_ranks import rank_sizes
from mixlab.callbacks.mixing import rows_with_guests
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, CutMix, Method, Mixer, Mixup, MixupMany, Policy

SHARED = Policy(partners="across_ranks")


def callback(method: Method) -> MixingCallback:
    return MixingCallback(method, partners="across_ranks")


def whole(rows: int) -> Batch:
    """A batch whose images say which rows they are."""
    images = torch.arange(rows, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    index = torch.arange(rows) + 100
    return Batch(images, torch.eye(rows), Address(5, 0, 2, 7), index, global_rows=rows)


def dealt(batch: Batch, ranks: int) -> list[Batch]:
    """What each rank has of it."""
    rows, parts = len(batch.images), []
    for rank in range(ranks):
        mine = slice(rank % rows, None, ranks)
        part = replace(batch, images=batch.images[mine], targets=batch.targets[mine])
        assert batch.index is not None and batch.address is not None
        parts.append(replace(part, index=batch.index[mine], address=Address(5, rank, 2, 7)))
    return parts


@pytest.mark.parametrize("method", [Mixup(1.0), CutMix(1.0), MixupMany(1.0, sources=4)])
@pytest.mark.parametrize(("rows", "ranks"), [(12, 2), (11, 2), (11, 4), (3, 4), (1, 2)])
def test_ranks_choose_the_partners_of_one_process(method: Method, rows: int, ranks: int) -> None:
    batch = whole(rows)
    _, _, alone = callback(method).mix(batch)
    sources = np.empty(alone.source.shape, np.int64)
    for rank, part in enumerate(dealt(batch, ranks)):
        of_rank = callback(method)
        of_rank.gather = lambda _: dealt(batch, ranks)
        before, after, blend = of_rank.mix(part)
        assert after.global_rows == rows and after.guests is None
        images, targets = rows_with_guests(before)
        number = images[:, 0, 0, 0].long().numpy()
        mine = np.arange(rows)[rank % rows :: ranks]
        assert (number[: len(mine)] == mine).all(), "a rank's own rows come first"
        assert sorted(number) == list(range(rows)) and (targets.argmax(1).numpy() == number).all()
        assert torch.equal(blend.mix(images, targets)[0], after.images)
        if before.guests is not None and before.guests.index is not None:
            assert (before.guests.index.numpy() - 100 == number[len(mine) :]).all()
        if rank < rows:
            sources[mine] = number[blend.source.numpy()]
    assert (sources == alone.source.numpy()).all()


def test_half_of_the_partners_are_on_the_other_rank() -> None:
    batch = whole(400)
    part = dealt(batch, 2)[0]
    shared = callback(Mixup(1.0))
    shared.gather = lambda _: dealt(batch, 2)
    blend = shared.mix(part).blend
    assert 70 < int((blend.source[:, 1] >= 200).sum()) < 130
    assert len(set(blend.source[:, 1].tolist())) == 200, "a permutation: no row twice"


def test_in_one_process_it_is_a_permutation_of_its_own_address() -> None:
    rows = whole(50)
    one, other = (
        SHARED.draw(Mixup(1.0), rows.images, rows.targets, Address(5, 0, epoch, 7)).source
        for epoch in (0, 1)
    )
    assert sorted(one[:, 1].tolist()) == list(range(50)) and not torch.equal(one, other)


@pytest.mark.parametrize("rows", [1, 3, 11, 12])
def test_the_rows_of_each_rank_are_known_without_asking(rows: int) -> None:
    batch = whole(rows)
    assert rank_sizes(batch, 4) == [len(part.images) for part in dealt(batch, 4)]


def test_a_loop_of_ones_own_gathers_nothing() -> None:
    Mixer(Mixup(1.0), SHARED, seed=0)
    with pytest.raises(UserError, match="MixingCallback"):
        Mixer(Mixup(1.0), SHARED, seed=0, rank=1)
