import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data.sampler import EvalBatchSampler, TrainBatchSampler

SIZES = st.integers(1, 70)
WORLDS = st.integers(1, 3)


def train_batches(rows: int, batch_size: int, world_size: int, *, epoch: int = 0, seed: int = 0):
    """For each rank, its rows of each batch."""
    plans = [
        TrainBatchSampler(np.arange(rows), batch_size, seed, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    return [[mine for _, mine in plan.batches(epoch)] for plan in plans]


@given(rows=SIZES, batch_size=st.integers(3, 20), world_size=WORLDS, epoch=st.integers(0, 3))
def test_ranks_share_the_batches_of_one_process(rows, batch_size, world_size, epoch):
    single = train_batches(rows, batch_size, 1, epoch=epoch)[0]
    ranks = train_batches(rows, batch_size, world_size, epoch=epoch)

    assert {len(batches) for batches in ranks} == {len(single)}
    for whole, *shares in zip(single, *ranks, strict=True):
        dealt = np.concatenate(shares)
        assert min(len(share) for share in shares) >= 1
        if len(whole) >= world_size:
            np.testing.assert_array_equal(np.sort(dealt), np.sort(whole))
        else:  # more ranks than rows: some row is seen by two of them
            assert set(dealt) == set(whole)


@given(rows=SIZES, batch_size=st.integers(1, 20), epoch=st.integers(0, 3))
def test_every_row_comes_once_an_epoch_and_the_last_batch_is_kept(rows, batch_size, epoch):
    batches = train_batches(rows, batch_size, 1, epoch=epoch)[0]
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches[-1]) == (rows - 1) % batch_size + 1


def test_the_order_is_a_function_of_seed_and_epoch():
    first = train_batches(50, 50, 1, seed=1, epoch=0)[0][0]
    again = train_batches(50, 50, 1, seed=1, epoch=0)[0][0]
    np.testing.assert_array_equal(first, again)
    for other in ({"seed": 1, "epoch": 1}, {"seed": 2, "epoch": 0}):
        assert (first != train_batches(50, 50, 1, **other)[0][0]).any()


def test_without_shuffling_the_order_is_that_of_the_file():
    plan = TrainBatchSampler(np.arange(10), 4, shuffle=False)
    assert [rows.tolist() for _, rows in plan.batches(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_batches_carry_their_address():
    plan = TrainBatchSampler(np.arange(10), 4, seed=7, rank=1, world_size=2)
    assert [address for address, _ in plan.batches(5)] == [(7, 1, 5, number) for number in range(3)]


def test_an_epoch_can_be_taken_up_in_its_middle():
    plan = TrainBatchSampler(np.arange(20), 4)
    whole, rest = list(plan.batches(2)), list(plan.batches(2, start=3))
    assert [address for address, _ in rest] == [address for address, _ in whole[3:]]
    np.testing.assert_array_equal([rows for _, rows in rest], [rows for _, rows in whole[3:]])


@given(rows=st.integers(3, 200), batch_size=st.integers(1, 50), world_size=WORLDS)
def test_evaluation_sees_every_row_once_over_all_ranks(rows, batch_size, world_size):
    plans = [
        EvalBatchSampler(np.arange(rows) + 5, batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    shares = [[mine for _, mine in plan.batches()] for plan in plans]
    assert {len(share) for share in shares} == {len(plans[0])}  # else a rank waits for ever
    batches = [batch for share in shares for batch in share]
    assert min(len(batch) for batch in batches) >= 1
    assert sorted(np.concatenate(batches)) == list(range(5, rows + 5))
    if world_size == 1:
        assert max(len(batch) for batch in batches) <= batch_size


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "64", None])
def test_a_batch_size_is_a_whole_number_above_0(size):
    with pytest.raises(ValueError, match="batch_size must be a whole number from 1"):
        TrainBatchSampler(np.arange(10), size)


def test_more_processes_than_rows_is_refused():
    with pytest.raises(ValueError, match="data.batch_size=2 counts the rows of all 4"):
        TrainBatchSampler(np.arange(10), 2, world_size=4)
    with pytest.raises(ValueError, match="3 rows cannot be dealt out to 4 processes"):
        EvalBatchSampler(np.arange(3), 2, world_size=4)


@given(rows=SIZES, batch_size=st.integers(3, 20), world_size=WORLDS)
def test_guests_follow_the_batch_and_leave_it_as_it_is(rows, batch_size, world_size):
    """A second pass brings every row once an epoch, dealt out as the first is."""
    alone = train_batches(rows, batch_size, world_size)
    for guests in ("second_pass", "dataset"):
        for rank, batches in enumerate(alone):
            plan = TrainBatchSampler(
                np.arange(rows), batch_size, rank=rank, world_size=world_size, guests=guests
            )
            for mine, (_, both) in zip(batches, plan.batches(0), strict=True):
                np.testing.assert_array_equal(both[: len(mine)], mine)
                assert len(both) == 2 * len(mine) and set(both) <= set(range(rows))


def test_a_second_pass_is_another_order_of_the_same_rows():
    plan = TrainBatchSampler(np.arange(50), 10, guests="second_pass")
    first, second = np.split(np.stack([rows for _, rows in plan.batches(2)]), 2, axis=1)
    assert sorted(second.flat) == sorted(first.flat) == list(range(50))
    assert (first != second).any()


def test_guests_from_the_data_set_are_drawn_with_replacement_from_the_training_rows():
    plan = TrainBatchSampler(np.arange(100, 200), 20, guests="dataset")
    drawn = np.concatenate([rows[20:] for epoch in range(50) for _, rows in plan.batches(epoch)])
    counts = np.bincount(drawn, minlength=200)
    assert counts[:100].sum() == 0
    assert abs(counts[100:] - 50).max() < 50 and counts[100:].std() > 3


def test_unknown_guests_are_refused():
    with pytest.raises(ValueError, match="second_pass, dataset, got 'friends'"):
        TrainBatchSampler(np.arange(10), 2, guests="friends")
