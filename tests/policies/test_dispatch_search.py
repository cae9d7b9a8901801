"""One search: what it says of the choice it found is true of that choice, however it was cut short."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.columns import UNKNOWN
from policies.dispatch.relaxed import Caps, Ladders, Relaxed, relax
from policies.dispatch.search import Limits, Losses, Search

RACKS = 40


def tight_racks(seed: int) -> Relaxed:
    """Forty racks of four machines, each with a cap of its own that binds, under a site cap that binds a little more."""
    rng = np.random.default_rng(seed)
    home = 1 + np.repeat(np.arange(RACKS), 4)
    power = np.column_stack([np.zeros(len(home)), np.sort(rng.uniform(800, 4_000, (len(home), 5)), axis=1)])
    value = np.sqrt(power) * rng.uniform(0.8, 1.2, (len(home), 1))
    full = np.bincount(home, power.max(axis=1))
    cap = full * rng.uniform(0.5, 0.8, len(full))
    cap[0] = cap[1:].sum() - 500.0
    parent = np.array([UNKNOWN] + [0] * RACKS)
    return relax(Ladders(value, power, np.ones(value.shape, np.bool_)), Caps(parent, cap, home))


def losses_of(relaxed: Relaxed) -> Losses:
    """Power and loss of every cell beside the start."""
    ladders, rows = relaxed.ladders, np.arange(len(relaxed.start))[:, None]
    start = relaxed.start[:, None]
    power = ladders.power_w - ladders.power_w[rows, start]
    value = ladders.value_usd_h - ladders.value_usd_h[rows, start]
    return Losses(power, np.maximum(relaxed.price_usd_wh[relaxed.caps.home][:, None] * power - value, 0.0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("work", "states"), [(60_000, 3_000), (10_000_000, 2_000)])
def test_a_search_says_what_its_choice_loses(seed: int, work: int, states: int) -> None:
    """The choice written down is another than the one that was weighed, or breaks a cap, or a cut search seems whole."""
    relaxed = tight_racks(seed)
    caps, ladders = relaxed.caps, relaxed.ladders
    search = Search(relaxed, losses_of(relaxed), Limits(6, states, 40), float(work))
    # What the start itself loses: anything found is better.
    gap = np.full(len(caps.parent), float(np.dot(relaxed.usd_wh, relaxed.room_w)))
    search.run(gap, [0.0] * len(gap))
    column = relaxed.start.copy()
    said = search.adopt(0, column)
    value = ladders.value_usd_h[np.arange(len(column)), column].sum()
    assert relaxed.bound_usd_h - value == pytest.approx(said, abs=1e-6)
    assert (caps.sums(ladders.power_at(column)) <= caps.cap_w + 1e-6).all()
    assert said < gap[0]
    assert bool(search.solved[0].left) == (work < 1e6)
    assert not search.solved[0].complete
