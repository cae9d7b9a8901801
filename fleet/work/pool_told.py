"""PoolTold: what pools' APIs say of the machines' workers, as columns.

A pool tells one of two things of a worker: the work that it has credited so far (a counter), or its hash rate over a
window that ends now, which is credited work over time. Both are what the pool pays for, after every loss on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fleet.columns import Floats, freeze_columns


@dataclass(frozen=True, eq=False)
class PoolTold:
    """The last that was heard of each machine's worker, one row each in the roster's order; NaN is "not known".

    `heard_s[n]`: the moment that the figures are of (UTC seconds; NaN: never heard). `work[n]`: credited work in
    difficulty-1 shares of 2**32 hashes; a counter, whose every fall says that it began anew and that nothing is known
    of the time before. `rate_ths[n]`: credited work over the last `window_s[n]` seconds, as a hash rate in TH/s.
    A pool that tells both is taken at its counter.
    """

    heard_s: Floats
    work: Floats
    rate_ths: Floats
    window_s: Floats

    def __post_init__(self) -> None:
        """Read-only, one length."""
        freeze_columns(self)
        if len({len(getattr(self, field.name)) for field in fields(self)}) != 1:
            raise ValueError("the columns of what pools told are of different lengths")

    def __len__(self) -> int:
        """How many machines."""
        return len(self.heard_s)

    @classmethod
    def nothing(cls, n: int) -> PoolTold:
        """n machines of which no pool said anything."""
        return cls(**{field.name: np.full(n, np.nan) for field in fields(cls)})
