"""Tables that come with scikit-learn: no file, no download."""

from dataclasses import dataclass

from mixlab.checks import one_of
from mixlab.data.rows import array_rows, with_test_rows
from mixlab.data.spec import Datasets

TABLES = one_of("wine", "breast_cancer", "digits", "iris")


@dataclass(frozen=True)
class SklearnTable:
    """Rows (N, F) of scikit-learn's small tables, with a test set held out, the same in every run.

    Attributes:
        dataset: `wine` (178 rows, 13 features, 3 classes), `breast_cancer` (569, 30, 2), `digits`
            (1,797, the 64 pixels, 10) or `iris` (150, 4, 3).
        test_size: fraction or number of the rows that test; 0 for none.
    """

    dataset: str = "wine"
    test_size: float = 0.2

    def splits(self) -> Datasets:
        from sklearn import datasets

        TABLES.check("data.dataset", self.dataset)
        found = getattr(datasets, f"load_{self.dataset}")()
        data = array_rows(
            found.data, found.target, class_names=found.target_names, source=self.dataset
        )
        return with_test_rows(data, self.test_size)
