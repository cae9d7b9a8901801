"""Names of the units, and the few conversions between them.

Everywhere: power in W, hash rate in TH/s, energy in MWh, money in USD, time in seconds since 1970 (UTC), temperature in
degrees Celsius. The unit is the last part of a name: `power_w`, `hashrate_ths`, `price_usd_mwh`.
"""

from __future__ import annotations

SECONDS_PER_HOUR = 3_600.0
SECONDS_PER_DAY = 86_400.0
HOURS_PER_DAY = 24.0
WATTS_PER_MW = 1e6
THS_PER_PHS = 1e3
HASHES_PER_TERAHASH = 1e12
HASHES_PER_DIFFICULTY = 2.0**32
"""Expected hashes for one share of difficulty 1."""


def efficiency_j_th(power_w: float, hashrate_ths: float) -> float | None:
    """Joules per terahash, or None for a machine that does not hash."""
    return power_w / hashrate_ths if hashrate_ths > 0 else None
