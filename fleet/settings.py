"""What every part of the site file has in common: frozen, strict, unknown keys refused.

A policy, a tariff or a feed is one such class, and the class is its schema in the site file. The annotated numbers
carry the unit's plausible range, so that a wrong unit is an error with a path, not a wrong decision.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """A frozen table of the site file; unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=31_622_400)]
PowerWatts = Annotated[float, Field(ge=0, le=2e9)]
PowerKilowatts = Annotated[float, Field(gt=0, le=2e6)]
PowerMegawatts = Annotated[float, Field(gt=0, le=2e3)]
HashrateTerahash = Annotated[float, Field(ge=0, le=1e6)]
UsdPerMwh = Annotated[float, Field(ge=-10_000, le=20_000)]
Usd = Annotated[float, Field(ge=0, le=1e9)]
Celsius = Annotated[float, Field(ge=-60, le=200)]
Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^/\s\x00-\x1f][^/\x00-\x1f]*$")]
