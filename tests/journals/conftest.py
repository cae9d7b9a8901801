"""A made-up day, and what two records need to be the same."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numpy.typing import NDArray

from controllers.journal.values import pack

MADE_DAY = Path(__file__).parent / "made_day.py"


@pytest.fixture(scope="session")
def day() -> ModuleType:
    """The module that makes days."""
    spec = importlib.util.spec_from_file_location("made_day", MADE_DAY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["made_day"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def day_program() -> Path:
    """The same as a program."""
    return MADE_DAY


@pytest.fixture(scope="session")
def same() -> Callable[[object, object], bool]:
    """Are two nouns equal to the last bit?"""

    def bits(value: object) -> tuple[str, dict[str, tuple[str, tuple[int, ...], bytes]]]:
        columns: dict[str, NDArray[Any]] = {}
        text = repr(pack(value, columns))
        return text, {name: (c.dtype.str, c.shape, c.tobytes()) for name, c in columns.items()}

    return lambda one, other: bits(one) == bits(other)
