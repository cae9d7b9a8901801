"""Seen: what a check saw of each machine besides its shares: claims, difficulties, flaws at the tap, and time away."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np

from controllers.verify.counting import as_column, as_list
from fleet.columns import Floats, Ints
from fleet.reading import State
from fleet.snapshot import Snapshot
from fleet.work.counted import Counted, Flaw

_SUMS: Final = ("hashing_s", "claim_ths_s", "foreign_work", "away_s", "shares")


@dataclass(frozen=True, eq=False)
class Seen:
    """One row a machine of the check, sums over its time.

    `hashing_s` of the `watched_s` with a claim, whose time integral is `claim_ths_s`, between `least_ths` and `most_ths`
    (NaN: none); `easiest` and `hardest` difficulty asked; at the tap: `flawed[r, len(Flaw)]`, `foreign_work`, `away_s`,
    credited `shares`. `lives`: how often the tap began anew.
    """

    watched_s: float
    hashing_s: Floats
    claim_ths_s: Floats
    least_ths: Floats
    most_ths: Floats
    easiest: Floats
    hardest: Floats
    flawed: Floats
    foreign_work: Floats
    away_s: Floats
    shares: Floats
    lives: int = 0

    @classmethod
    def nothing(cls, n: int) -> Seen:
        """Nothing yet, of n machines."""
        columns: dict[str, Any] = {name: np.zeros(n) for name in _SUMS}
        columns |= {name: np.full(n, np.nan) for name in ("least_ths", "most_ths", "easiest", "hardest")}
        return cls(watched_s=0.0, flawed=np.zeros((n, len(Flaw))), **columns)

    def after(self, passed_s: float, before: Counted | None, now: Snapshot, rows: Ints, silent_after_s: float) -> Seen:
        """With the time that has passed until a snapshot; a claim older than `silent_after_s` is none.

        `before`: what the tap told last, None where it told nothing since the check or this process began.
        """
        heard = now.heard
        hashes = (heard.state[rows] == State.HASHING) & (heard.at_s[rows] >= now.at_s - silent_after_s)
        claim = np.where(hashes, heard.hashrate_ths[rows], np.nan)
        known = np.isfinite(claim)
        asked = heard.share_difficulty[rows]
        if now.counted is not None:
            asked = np.where(np.isfinite(now.counted.difficulty[rows]), now.counted.difficulty[rows], asked)
        seen = replace(
            self,
            watched_s=self.watched_s + passed_s,
            hashing_s=self.hashing_s + np.where(known, passed_s, 0.0),
            claim_ths_s=self.claim_ths_s + np.where(known, claim, 0.0) * passed_s,
            least_ths=np.fmin(self.least_ths, claim),
            most_ths=np.fmax(self.most_ths, claim),
            easiest=np.fmin(self.easiest, asked),
            hardest=np.fmax(self.hardest, asked),
        )
        return seen if now.counted is None else _at_the_tap(seen, before, now.counted, rows)

    @property
    def mean_ths(self) -> Floats:
        """mean[r]: of the claims while it hashed; NaN where it did not."""
        unknown = np.full(len(self.hashing_s), np.nan)
        mean: Floats = np.divide(self.claim_ths_s, self.hashing_s, out=unknown, where=self.hashing_s > 0)
        return mean

    def kept(self) -> dict[str, Any]:
        """As JSON values."""
        told: dict[str, Any] = {"watched_s": self.watched_s, "lives": self.lives, "flawed": self.flawed.tolist()}
        for field in fields(self):
            if field.name not in told:
                told[field.name] = as_list(getattr(self, field.name))
        return told

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """From JSON values.

        Raises:
            KeyError, TypeError, ValueError: they are not what `kept` gives.
        """
        flawed = np.array(kept["flawed"], np.float64)
        if flawed.ndim != 2 or flawed.shape[1] != len(Flaw):
            raise ValueError(f"flawed is of shape {flawed.shape}, expected {len(Flaw)} causes a machine")
        values: dict[str, Any] = {"watched_s": float(kept["watched_s"]), "lives": int(kept["lives"]), "flawed": flawed}
        values |= {f.name: as_column(kept[f.name]) for f in fields(cls) if f.name not in values}
        return cls(**values)


def _at_the_tap(seen: Seen, before: Counted | None, now: Counted, rows: Ints) -> Seen:
    """With what the tap counted in between."""
    if before is None:
        return seen
    if before.epoch != now.epoch:
        # what a tap that has just begun counted until now is little, and of this check's time
        return replace(seen, lives=seen.lives + 1)
    return replace(
        seen,
        flawed=seen.flawed + (now.flawed - before.flawed)[rows],
        foreign_work=seen.foreign_work + (now.foreign_work - before.foreign_work)[rows],
        away_s=seen.away_s + (now.away_s - before.away_s)[rows],
        shares=seen.shares + (now.shares - before.shares)[rows],
    )
