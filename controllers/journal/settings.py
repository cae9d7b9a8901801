"""How much journal is kept, and how soon it is on disk (the site file's [journal])."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fleet.settings import Settings


class JournalSettings(Settings):
    """Where the journal is, its bounds, and when it is made durable."""

    directory: Path | None = None
    """Relative to the state directory; None: `journal` there."""
    rotate_mb: Annotated[float, Field(ge=0.01, le=4_000)] = 64
    """At this size a file is followed by a new one."""
    keep_mb: Annotated[float, Field(ge=0.02, le=4_000_000)] = 2_000
    """All files together stay within this; the oldest go. At least twice `rotate_mb`."""
    key_every: Annotated[int, Field(ge=1, le=10_000)] = 120
    """Records from one that is whole to the next; those between are differences."""
    fsync: Literal["always", "durable", "never"] = "durable"
    """Wait for the disk at every record, at what must be durable (commands before they are sent, orders before they are
    acknowledged), or never: then a power failure, unlike a crash of hashwatt, may lose the last seconds."""

    @model_validator(mode="after")
    def _keeps_two_files(self) -> Self:
        if self.keep_mb < 2 * self.rotate_mb:
            raise ValueError(f"keep_mb is {self.keep_mb}, expected at least twice rotate_mb, {2 * self.rotate_mb}")
        return self
