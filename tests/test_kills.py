"""A few kills of `make kills`: what is started again ends with the undisturbed digest."""

import pytest
from kills import Injection, series

from flow import make_inputs


@pytest.mark.timeout(900)  # five runs of a command, on a machine that may be busy
def test_killed_at_two_moments_the_digest_is_the_undisturbed_one(tmp_path, capsys):
    make_inputs(tmp_path)
    run = Injection(tmp_path, tmp_path / "stamps", ("--processes", "1"))
    assert series("local", 2, run, None, seed=2) == 0
    assert "local: 2 runs struck, 0 ended with another digest" in capsys.readouterr().out
