"""How views vote, that a vote of one is no vote, and what is counted of the answers."""

import pytest
import torch
from torch import Tensor

from mixlab.evaluation import Answers
from mixlab.evaluation.voting import vote_shares
from mixlab.models.metrics import Metric, NegativeLogLikelihood

SURE_MINORITY = [[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.4, 0.6, 0.0]]  # of three views of an image
TIE = [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0]]
TIE_OF_TWO = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.2, 0.6, 0.2], [0.6, 0.2, 0.2]]


def elected(views: Tensor, vote: str) -> Tensor:
    return vote_shares(views, vote).argmax(1)


@pytest.mark.parametrize(
    ("views", "vote", "winner"),
    [
        (SURE_MINORITY, "mean", 0),
        (SURE_MINORITY, "majority", 1),
        (TIE, "majority", 0),  # by the mean probability, 0.6 and 0.4
        (TIE_OF_TWO, "majority", 1),  # 0 and 1 have two votes each; the mean of 1 is larger
        ([[0.2, 0.8, 0.0]], "majority", 1),
    ],
)
def test_votes(views: list[list[float]], vote: str, winner: int) -> None:
    batch = torch.tensor(views)[:, None]  # views x one image x classes
    assert elected(batch, vote).tolist() == [winner]


@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_images_of_a_batch_vote_apart_and_the_order_of_views_is_nothing(vote: str) -> None:
    views = torch.rand(7, 20, 5, generator=torch.manual_seed(0)).softmax(2)
    whole = elected(views, vote)
    assert [int(elected(views[:, [row]], vote)) for row in range(20)] == whole.tolist()
    assert torch.equal(elected(views.flip(0), vote), whole)
    assert torch.equal(elected(views[:1].expand(3, -1, -1), vote), views[0].argmax(1))
    torch.testing.assert_close(vote_shares(views, vote).sum(1), torch.ones(20))


def test_a_majority_by_one_vote_wins_over_any_mean() -> None:
    sure = torch.tensor([[0.0, 1.0, 0.0]]).expand(4, -1)
    unsure = torch.tensor([[0.34, 0.33, 0.33]]).expand(5, -1)
    assert elected(torch.cat([sure, unsure])[:, None], "majority").tolist() == [0]


def answers(predicted: list[int], targets: list[int], classes: int = 4) -> Answers:
    chosen = torch.tensor(predicted)
    scores = torch.full((len(predicted), classes), 0.1)
    scores[torch.arange(len(predicted)), chosen] = 1 - 0.1 * (classes - 1)
    return Answers(torch.arange(len(predicted)), torch.tensor(targets), chosen, scores)


TRUE = [0, 1, 2, 2, 2, 0]
ALONE, VOTED = answers([0, 0, 0, 2, 2, 1], TRUE), answers([1, 1, 0, 2, 2, 0], TRUE)


def test_who_gains_and_who_loses() -> None:
    assert (VOTED.gains_on(ALONE), ALONE.gains_on(VOTED)) == (2, 1)
    assert VOTED.class_accuracy() == [0.5, 1.0, 2 / 3, None]


def test_the_confusion_matrix_has_the_true_class_first() -> None:
    assert VOTED.confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert int(VOTED.confusion.diagonal().sum()) == int(VOTED.right.sum())


def test_figures_are_of_all_rows_and_leave_the_metric_as_it_is() -> None:
    nll = NegativeLogLikelihood()
    nll.update(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
    found = VOTED.figures([Metric("accuracy"), Metric("nll", nll)])
    chosen = VOTED.scores[torch.arange(6), VOTED.targets]
    assert found == {"accuracy": 4 / 6, "nll": pytest.approx(float(-chosen.log().mean()))}
    assert int(nll.rows) == 1
