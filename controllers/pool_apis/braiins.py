"""Braiins Pool's Worker API: https://pool.braiins.com/accounts/workers/json/btc/, with an access profile's token.

`btc.workers` is a table by the worker's whole name; of each, `hash_rate_5m`, `hash_rate_60m` and `hash_rate_24h` are
averages over that time in `hash_rate_unit`. The hour's is taken as it is documented; no counter is. The pool asks for no
more than a request in five seconds. Source: Braiins Academy, Braiins Pool, Monitoring, Worker API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from controllers.feeds.exchange import Url, shown
from controllers.feeds.feed import FeedFault, Period
from controllers.pool_apis.table import PoolApiTable, Worked, bounded, terahashes

_WINDOWS_S = {"5m": 300.0, "60m": 3_600.0, "24h": 86_400.0}


class BraiinsTable(PoolApiTable):
    """An account of Braiins Pool; `token_file` or `token_env` has the access profile's token."""

    kind: Literal["braiins"]
    url: Url = "https://pool.braiins.com/accounts/workers/json/btc/"
    coin: Literal["btc"] = "btc"
    window: Literal["5m", "60m", "24h"] = "60m"
    """Which of the pool's averages is taken."""
    period_s: Period = 300
    token_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "Pool-Auth-Token"  # noqa: S105 (a name)
    token_prefix: Annotated[str, Field(max_length=64)] = ""

    @model_validator(mode="after")
    def _has_a_token(self) -> Self:
        """The pool answers nobody without one."""
        if self.token_file is None and self.token_env is None:
            raise ValueError("no token_file and no token_env, expected the access profile's token in one of them")
        return self

    @property
    def source(self) -> str:
        """Its name in messages and records."""
        return self.name or "Braiins Pool"

    def read(self, document: Any, now_s: float) -> Mapping[str, Worked]:
        """The workers' averages.

        Raises:
            FeedFault: no such document.
        """
        where = shown(self.url)
        account = document.get(self.coin) if isinstance(document, dict) else None
        workers = account.get("workers") if isinstance(account, dict) else None
        if not isinstance(workers, dict):
            raise FeedFault(f"{where}: no table `{self.coin}.workers`, expected Braiins Pool's Worker API")
        found = {}
        for name, row in bounded(workers, where).items():
            if not isinstance(row, dict):
                raise FeedFault(f"{where}: worker {name[:80]} is no table, expected Braiins Pool's Worker API")
            what = f"{where}: hash_rate_{self.window} of {name[:80]}"
            rate = terahashes(row.get(f"hash_rate_{self.window}"), str(row.get("hash_rate_unit")), what)
            found[name] = Worked(now_s, rate_ths=rate, window_s=_WINDOWS_S[self.window])
        return found
