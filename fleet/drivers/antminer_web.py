"""What a stock Antminer's web page says of its boards, in the names of its TCP API.

Where the API does not listen (switched off in the configuration, or its process restarting) `stats.cgi` has the same
figures under other names. Documented only.
"""

from __future__ import annotations

from typing import Any, Final

from fleet.drivers.values import Table, count, number, table, tables, text

_PER_GHS: Final = {"h/s": 1e9, "kh/s": 1e6, "mh/s": 1e3, "gh/s": 1.0, "th/s": 1e-3, "ph/s": 1e-6}


def as_api(page: Any) -> dict[str, Any] | None:
    """The reply to `stats` that the page stands for; None when it says nothing of the boards."""
    rows = tables(table(page).get("STATS"), 1)
    if not rows:
        return None
    row, status = rows[0], table(table(page).get("STATUS"))
    per_ghs = _PER_GHS.get((text(row.get("rate_unit")) or "gh/s").lower())
    stats: dict[str, Any] = {"Elapsed": row.get("elapsed"), "GHS 5s": _ghs(row.get("rate_5s"), per_ghs)}
    for place, fan in enumerate(_list(row.get("fan")), start=1):
        stats[f"fan{place}"] = fan
    for chain in tables(row.get("chain"), 4):
        index = count(chain.get("index"))
        if index is not None:
            stats |= _chain(chain, index + 1, per_ghs)
    return {"STATUS": [{"STATUS": "S", "When": status.get("when")}], "STATS": [{}, stats]}


def _chain(chain: Table, place: int, per_ghs: float | None) -> dict[str, Any]:
    """One board's row."""
    return {
        f"chain_rate{place}": _ghs(chain.get("rate_real"), per_ghs),
        f"chain_acn{place}": chain.get("asic_num"),
        f"temp_chip{place}": "-".join(str(value) for value in _list(chain.get("temp_chip"))),
        f"temp_pcb{place}": "-".join(str(value) for value in _list(chain.get("temp_pcb"))),
    }


def _ghs(value: Any, per_ghs: float | None) -> float | None:
    """A rate in GH/s; None in a unit that is not known."""
    rate = number(value, 0.0, 1e18)
    return None if rate is None or per_ghs is None else rate / per_ghs


def _list(value: Any) -> list[Any]:
    return value[:16] if isinstance(value, list) else []
