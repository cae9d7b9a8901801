"""Writes docs/site-file.md and docs/cli.md from the code.

The settings classes are the site file's schema, the parsers the command line's. `python docs/build.py` writes the pages,
`python docs/build.py --check` fails when they are not what it would write.
"""

from __future__ import annotations

import argparse
import sys
import types
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from controllers.cli import COMMANDS
from controllers.config import SiteFile
from controllers.verify.report import Report
from policies.explanation import Explanation
from policies.site_sums import SiteSums

HERE = Path(__file__).parent
WIDTH_OF_HELP = 100


def models_in(kind: Any) -> list[type[BaseModel]]:
    """The settings classes that a field's type can hold."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in models_in(part)]


def type_text(kind: Any) -> str:
    """A field's type in the words of TOML."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_text(parts[0])
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(part) for part in parts if part is not type(None)))
    if origin is tuple or origin is list:
        return f"array of {type_text(parts[0])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    if origin is not None:
        return f"table of {type_text(parts[-1])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f'"{member.value}"' for member in kind)
    names = {float: "number", int: "integer", str: "string", bool: "true or false", Path: "path"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def bounds(field: Any) -> str:
    """The range of a number, in words."""
    found = []
    for item in field.metadata:
        for sign, word in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            limit = getattr(item, sign, None)
            if limit is not None:
                found.append(f"{word} {limit:,g}")
    return ", ".join(found)


def default_text(field: Any) -> str:
    """The default, or that the key is required."""
    if field.is_required():
        return "required"
    value = field.default if field.default is not PydanticUndefined else field.default_factory()
    if value is None:
        return "–"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return ", ".join(type(item).__name__ for item in value)
    return f"`{value!s}`" if value not in ((), {}, "") else "none"


def model_text(model: type[BaseModel]) -> list[str]:
    """One class as a table."""
    lines = [f"\n### {model.__name__}\n", " ".join((model.__doc__ or "").split()), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        kind = type_text(field.annotation)
        inner = models_in(field.annotation)
        if inner:
            kind += ": " + ", ".join(f"[{one.__name__}](#{one.__name__.lower()})" for one in inner)
        limits = bounds(field)
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {kind}{', ' + limits if limits else ''} | {default_text(field)} | {meaning} |")
    return lines


def walk(model: type[BaseModel], seen: dict[type[BaseModel], None]) -> None:
    """Every class below one, each once, in the order of the keys."""
    seen[model] = None
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            if inner not in seen:
                walk(inner, seen)


def site_file_text() -> str:
    """docs/site-file.md."""
    seen: dict[type[BaseModel], None] = {}
    walk(SiteFile, seen)
    head = [
        "# The site file",
        "",
        "TOML. Unknown keys are refused, and every fault is told with its path, its value and what was expected;",
        "`hashwatt check --offline --site FILE` reads a file and asks nobody. Written by `docs/build.py` from the classes.",
    ]
    return "\n".join([*head, *(line for model in seen for line in model_text(model))]) + "\n"


def cli_text() -> str:
    """docs/cli.md."""
    lines = [
        "# The command line",
        "",
        "Written by `docs/build.py` from the parsers. Standard output carries the answer alone; progress and notes go to",
        "standard error. Exit codes: 0 done; 1 done, and something is wrong; 2 bad arguments or input; 3 no daemon answers;",
        "4 refused by the daemon or by who holds the lease; 130 ended by Ctrl-C.",
    ]
    for name, (module, purpose) in COMMANDS.items():
        parser = argparse.ArgumentParser(
            prog=f"hashwatt {name}",
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=WIDTH_OF_HELP),
        )
        import_module(module).add_arguments(parser)
        lines += [
            f"\n## hashwatt {name}\n",
            f"{purpose[0].upper()}{purpose[1:]}.",
            "",
            "```",
            parser.format_help().rstrip(),
            "```",
        ]
    lines += [
        "\n## JSON",
        "",
        "`status --json` has `site`, `orders`, `feeds`, `events`, `sums`, and in `short` the [Proof](#proof) of each machine",
        "that is found short; `tap` is the tap's own status (docs/tap.md), or null. `once --json` has `sums` too.",
    ]
    seen: dict[type[BaseModel], None] = {}
    walk(SiteSums, seen)
    lines += [line for model in seen for line in model_text(model)]
    lines += ["\n`explain --json` is one Explanation."]
    explained: dict[type[BaseModel], None] = {}
    walk(Explanation, explained)
    lines += [line for model in explained if model not in seen for line in model_text(model)]
    lines += ["\n`verify --json` writes one Report."]
    reported: dict[type[BaseModel], None] = {}
    walk(Report, reported)
    lines += [line for model in reported if model not in seen | explained for line in model_text(model)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the pages, or check them."""
    pages = {"site-file.md": site_file_text(), "cli.md": cli_text()}
    stale = [name for name, text in pages.items() if not (HERE / name).exists() or (HERE / name).read_text() != text]
    if "--check" in sys.argv:
        sys.stderr.writelines(f"docs/{name} is not what docs/build.py writes: run it\n" for name in stale)
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(pages[name])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
