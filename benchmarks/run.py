"""Runs the benchmarks: every module beside this one that has `main(argv) -> int`, in a process of its own.

Each prints its table and, when given `--json FILE`, writes its figures there as one JSON object. The runner prints all,
gathers the objects under their modules' names, and fails when any of them did. Figures are ratios within one run where
they can be: the hardware is said once, at the top.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEADLINE_S = 1_200.0


def hardware() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


def modules() -> list[str]:
    """The benchmarks' names: every file here but this one and those that begin with an underscore."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.name != "run.py" and not path.name.startswith("_"))


def run_one(name: str, results: Path) -> dict[str, Any]:
    """One benchmark in its own process: its exit code, seconds, and the figures it wrote."""
    results.unlink(missing_ok=True)
    # the checkout comes last: what is installed is measured, and modules beside this one are found as `benchmarks._name`
    paths = f"sys.path.insert(0, {str(HERE)!r}); sys.path.append({str(HERE.parent)!r})"
    code = f"import sys; {paths}; import {name}; sys.exit({name}.main(sys.argv[1:]))"
    began = time.monotonic()
    try:
        command = [sys.executable, "-c", code, "--json", str(results)]
        exit_code = subprocess.run(command, check=False, timeout=DEADLINE_S, cwd=HERE.parent).returncode
    except subprocess.TimeoutExpired:
        print(f"{name}: no end after {DEADLINE_S:.0f} s", file=sys.stderr)
        exit_code = 124
    figures = json.loads(results.read_text(encoding="utf-8")) if results.exists() else None
    return {"exit": exit_code, "seconds": round(time.monotonic() - began, 2), "figures": figures}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, or those named; 0 when each returned 0."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; all when none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args(argv)
    known = modules()
    if options.list:
        print("\n".join(known))
        return 0
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known) or 'none'}")
    report: dict[str, Any] = {"hardware": hardware(), "benchmarks": {}}
    print("{cpu}, {cores} cores, Python {python}, load {load:.2f}".format(**report["hardware"]))
    scratch = HERE.parent / ".cache" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    for name in options.names or known:
        print(f"\n--- {name}", flush=True)
        report["benchmarks"][name] = run_one(name, scratch / f"{name}.json")
    failed = [name for name, result in report["benchmarks"].items() if result["exit"] != 0]
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"\nfigures: {options.json}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
