"""Meter: what a power meter says of a place, with its age."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    """Power in W at a place of the site ("" for the whole), heard at `heard_s` (UTC seconds), from `source`."""

    place: str
    power_w: float
    heard_s: float
    source: str
