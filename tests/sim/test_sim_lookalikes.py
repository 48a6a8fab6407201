"""Each look-alike is what its name says."""

import numpy as np
import pytest

from darkhaloscope.keys import generator
from darkhaloscope.schema import HOST_KINDS
from darkhaloscope.sim.lookalikes import LookAlike, draw_look_alike

KINDS = HOST_KINDS[1:]


def drawn(kind: str, i: int = 0) -> LookAlike:
    return draw_look_alike(kind, generator(f"{kind}-{i}"), 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_schema_is_drawn_and_near_the_centre(kind):
    for i in range(20):
        what = drawn(kind, i)
        g = what.galaxies
        assert len(g) >= 1
        assert np.hypot(g.x, g.y)[0] < 0.3
        assert np.hypot(g.x, g.y).max() < 12
        assert (g.q > 0).all() and (g.q <= 1).all() and (g.r_e > 0).all()
        assert (g.n >= 0.5).all() and (g.n <= 6).all()
        assert np.isfinite(g.mags).all() and np.isfinite(what.stars.mags).all()


def test_an_unknown_kind_is_refused():
    with pytest.raises(KeyError):
        drawn("teapot")


def test_rings_and_companions_are_bluer_than_their_host():
    for kind in ("ring", "companions"):
        for i in range(20):
            mags = drawn(kind, i).galaxies.mags
            colour = mags[:, 0] - mags[:, 2]
            assert np.median(colour[1:]) < 1.5


def test_companions_are_tangential():
    turned = []
    for i in range(40):
        g = drawn("companions", i).galaxies
        angle = np.arctan2(g.y[1:] - g.y[0], g.x[1:] - g.x[0])
        turned += list(np.cos(2 * (g.phi[1:] - angle)))
    assert np.mean(turned) < -0.7


def test_an_edge_on_disc_is_thin_and_a_ring_is_round():
    assert all(drawn("edge_on", i).galaxies.q.min() < 0.17 for i in range(20))
    for i in range(20):
        g = drawn("ring", i).galaxies
        radius = np.hypot(g.x[1:] - g.x[0], g.y[1:] - g.y[0])
        assert radius.min() > 1.3 and radius.max() < 4


def test_spikes_come_from_a_star_beside_the_stamp_and_ghosts_from_none():
    spike = drawn("spike")
    assert len(spike.stars) == 1 and spike.stars.mags[0, 1] < 14.5
    assert np.hypot(spike.stars.x, spike.stars.y)[0] > 11
    assert drawn("ghost").ghost is not None and len(drawn("ghost").stars) == 0
