"""Shown: what every value that is shown to people and programs has in common.

Frozen, strict, and documented by its own JSON schema (`model_json_schema()`), which is what `--json` prints. Not known is
None, never NaN and never zero.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """A frozen value that is shown to people and programs; its JSON schema is `model_json_schema()`. None: not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
