"""The profiler of a trainer that is not asked to profile."""

import pytest

from mixlab.training.build import NoProfiler


def test_its_one_context_nests_and_lets_errors_through() -> None:
    profiler = NoProfiler()
    with profiler.profile("outer"), profiler.profile("inner"):
        pass
    with pytest.raises(KeyError), profiler.profile("failing"):
        raise KeyError
    assert profiler.summary() == ""
