"""Every odd data set of `odd_sets` is read right, or refused with a reason."""

import pytest
from odd_sets import SETS, outcome


@pytest.mark.parametrize("name", SETS)
def test_an_odd_set_is_read_right_or_refused(name, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    found = outcome(SETS[name](folder))
    assert found == "right" or found.startswith("refused: "), found
