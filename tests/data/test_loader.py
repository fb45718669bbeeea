import numpy as np
import torch

from helpers.batches import pictures
from mixlab.data.loader import EvalLoader, TrainLoader
from mixlab.data.sampler import EvalBatchSampler, TrainBatchSampler


def loader(seed: int = 0) -> TrainLoader:
    return TrainLoader(TrainBatchSampler(np.arange(50), 8, seed=seed), pictures(50).batches)


def indices(batches) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches]


def test_batches_hold_the_rows_they_name():
    data = pictures(50)
    for number, batch in enumerate(loader()):
        torch.testing.assert_close(batch.images, data.images[batch.index])
        torch.testing.assert_close(batch.targets, data.targets[batch.index])
        assert batch.address == (0, 0, 0, number)
    assert number + 1 == len(loader()) == 7


def test_writing_into_a_batch_leaves_the_data_alone():
    data = pictures(50)
    plan = TrainBatchSampler(np.arange(50), 50, shuffle=False)
    before = data.images.clone()
    next(iter(TrainLoader(plan, data.batches))).images.zero_()
    torch.testing.assert_close(data.images, before)


def test_the_epoch_is_read_when_the_first_batch_is_asked_for():
    train = loader()
    iterator = iter(train)  # as Lightning does at the start of a run
    train.sampler.set_epoch(3)
    assert next(iterator).address.epoch == 3


def test_an_iterator_made_and_thrown_away_changes_nothing():
    train = loader()
    train.load_state_dict({"epoch": 0, "position": 2})
    iter(train)  # as Lightning does to see whether it can
    assert indices(train) == indices(loader())[2:]


def test_an_epoch_goes_on_where_it_stood():
    train, resumed = loader(), loader()
    train.set_epoch(4)
    whole = indices(train)
    iterator = iter(train)
    next(iterator), next(iterator)
    resumed.load_state_dict(train.state_dict())
    resumed.set_epoch(4)
    assert indices(resumed) == whole[2:]
    assert indices(resumed) == whole  # and the next time it starts anew


def test_a_state_of_another_epoch_is_not_a_place_to_start():
    resumed = loader()
    resumed.load_state_dict({"epoch": 4, "position": 2})
    resumed.set_epoch(5)
    assert len(indices(resumed)) == 7


def test_a_state_at_the_end_means_the_next_epoch():
    train, resumed = loader(), loader()
    list(train)
    resumed.load_state_dict(train.state_dict())
    assert len(indices(resumed)) == 7


def test_the_seed_decides_the_order():
    assert indices(loader(1)) == indices(loader(1)) != indices(loader(2))


def test_evaluation_is_the_same_every_time_and_has_no_address():
    evaluation = EvalLoader(EvalBatchSampler(np.arange(5, 50), 16), pictures(50).batches)
    first = list(evaluation)
    assert len(first) == len(evaluation) == 3
    assert indices(first) == indices(evaluation)
    assert all(batch.address is None for batch in first)


def test_guests_come_with_their_own_images_labels_and_rows():
    data = pictures(50)
    plan = TrainBatchSampler(np.arange(50), 8, guests="second_pass")
    for batch in TrainLoader(plan, data.batches):
        assert len(batch.images) == len(batch.guests.images)
        for rows in (batch, batch.guests):
            torch.testing.assert_close(rows.images, data.images[rows.index])
            torch.testing.assert_close(rows.targets, data.targets[rows.index])


def test_guests_are_other_rows_than_the_batch_and_all_of_them_are_drawn():
    plan = TrainBatchSampler(np.arange(50), 8, guests="second_pass")
    batches = list(TrainLoader(plan, pictures(50).batches))
    own, theirs = indices(batches), indices([batch.guests for batch in batches])
    assert own == indices(loader()), "the batch is what it is without guests"
    assert sorted(sum(theirs, [])) == sorted(sum(own, [])) and theirs != own
