"""How views vote, and that a vote of one is no vote."""

import pytest
import torch

from mixlab.evaluation import VoteResult
from mixlab.evaluation.tta import elect

SURE_MINORITY = [[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.4, 0.6, 0.0]]  # of three views of an image
TIE = [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0]]
TIE_OF_TWO = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.2, 0.6, 0.2], [0.6, 0.2, 0.2]]


@pytest.mark.parametrize(
    ("views", "vote", "elected"),
    [
        (SURE_MINORITY, "mean", 0),
        (SURE_MINORITY, "majority", 1),
        (TIE, "majority", 0),  # by the mean probability, 0.6 and 0.4
        (TIE_OF_TWO, "majority", 1),  # 0 and 1 have two votes each; the mean of 1 is larger
        ([[0.2, 0.8, 0.0]], "majority", 1),
    ],
)
def test_votes(views: list[list[float]], vote: str, elected: int) -> None:
    batch = torch.tensor(views)[:, None]  # views x one image x classes
    assert elect(batch, vote).tolist() == [elected]


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_images_of_a_batch_vote_apart_and_the_order_of_views_is_nothing(vote: str) -> None:
    views = torch.rand(7, 20, 5, generator=torch.manual_seed(0)).softmax(2)
    whole = elect(views, vote)
    assert [int(elect(views[:, [row]], vote)) for row in range(20)] == whole.tolist()
    assert torch.equal(elect(views.flip(0), vote), whole)
    assert torch.equal(elect(views[:1].expand(3, -1, -1), vote), views[0].argmax(1))


def test_the_ballot_counts_who_gains_and_who_loses() -> None:
    ballot, targets = VoteResult(), torch.tensor([0, 1, 2, 2, 2])
    alone, voted = torch.tensor([0, 0, 0, 2, 2]), torch.tensor([1, 1, 0, 2, 2])
    ballot.count(alone, voted, targets, num_classes=4)
    ballot.count(alone[1:2], targets[1:2], targets[1:2], num_classes=4)
    assert (ballot.gained, ballot.lost) == (2, 1)
    assert ballot.accuracy == 4 / 6
    assert ballot.voted.accuracy(lambda counts: counts) == [0.0, 1.0, 2 / 3, None]
