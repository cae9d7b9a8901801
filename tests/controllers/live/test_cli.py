"""Every command as a stranger gives it: exit codes, JSON and its schema, tables on a narrow terminal, one clear message."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import resource
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from controllers.cli import COMMANDS, main
from fleet.catalogue import ANTMINER, LUXOS
from policies.explanation import Explanation
from policies.site_sums import SiteSums
from simulators.faults import Fault

Real = Callable[..., None]
ROOT = Path(__file__).parents[3]
GARAGE = """
name = "garage"
tariff = { kind = "fixed", usd_mwh = 62 }

[[machines]]
id = "m1"
model = "Antminer S19j Pro"
dialect = "antminer"
host = "127.0.0.11"
"""


def given(*words: str) -> tuple[int, str, str]:
    """A command in this process: exit code, standard output, standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, output.getvalue(), errors.getvalue()


async def asked(*words: str) -> tuple[int, str, str]:
    """The same beside a running world."""
    return await asyncio.to_thread(given, *words)


def on_a_terminal(columns: int, *words: str) -> tuple[int, str]:
    """A command on a terminal of its own: exit code and what it showed, without the colours."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "dumb"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-P", "-c", "import sys; from controllers.cli import main; sys.exit(main())", *words]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE, env=environment
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65_536)
            except OSError:
                break
            if not part:
                break
            shown += part
        code = process.wait()
    os.close(leader)
    return code, shown.decode().replace("\r\n", "\n")


def test_without_a_daemon_each_question_says_so(tmp_path: Path) -> None:
    """A script must tell "no daemon" from "refused" and from "done"."""
    path = tmp_path / "site.toml"
    path.write_text(GARAGE)
    for words in (["status"], ["explain", "m1"], ["order", "curtail"]):
        code, output, errors = given(*words, "--site", str(path))
        assert (code, output) == (3, ""), words
        assert "hashwatt.sock: no daemon answers there" in errors
        assert "expected `hashwatt run`" in errors
        assert len(errors.splitlines()) == 1


BAD = [
    (["check"], "--site", 2),
    (["check", "--site", "{tmp}/none.toml"], "none.toml: cannot be read", 2),
    (["check", "--site", "{tmp}"], "cannot be read", 2),
    (["run", "--site", "{tmp}/half.toml"], "half.toml: not TOML", 2),
    (["run", "--site", "{tmp}/negative.toml"], "negative.toml: tariff.usd_mwh: is -1000000.0, expected", 2),
    (["once", "--site", "{tmp}/twice.toml"], "twice.toml: machine 'm1': id m1 is that of machine 'm1' too", 2),
    (["status", "--site", "{tmp}/unknown.toml"], "unknown.toml: colour: unknown key", 2),
    (["run", "--site", "{tmp}/secret.toml"], "no-such-file: cannot be read", 2),
    (["run", "--site", "{tmp}/far.toml"], "too long for a Unix socket, expected 107 bytes at most", 2),
    (["run", "--site", "{tmp}/nowhere.toml"], "expected a directory to write to", 1),
    (
        ["order", "curtail", "--site", "{tmp}/good.toml", "--for", "5 minutes"],
        "'5 minutes': expected a number and a unit",
        2,
    ),
    (["order", "explode", "--site", "{tmp}/good.toml"], "invalid choice: 'explode'", 2),
    (["init", "10.0.0.0/33", "--site", "{tmp}/new.toml"], "'10.0.0.0/33': expected a subnet", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/good.toml"], "good.toml: is there already", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/none/new.toml"], "expected a file in a directory that exists", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/new.toml", "--power-usd-mwh", "nan"], "usd_mwh: is nan", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/new.toml", "--cap-kw", "-5"], "caps_kw.site: is -5.0", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/new.toml", "--mempool-url", "gopher://x"], "new.toml: feeds[0]", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/new.toml", "--name", "a b"], "name: is 'a b'", 2),
    (["init", "127.0.0.9", "--site", "{tmp}/new.toml", "--timeout", "0"], "--timeout is 0.0, expected 0.1 to 60", 2),
    (["init", "127.0.0.0/8", "--site", "{tmp}/new.toml"], "more than 1048576 addresses", 2),
    (["simulate", "--speed", "2000"], "--speed is 2000.0, expected 1 to 1000", 2),
    (["simulate", "--net", "0"], "--net is 0, expected 1 to 254", 2),
    (["simulate", "--scenario", "moon"], "no scenario 'moon'; known: demo, home, mining, thousand", 2),
    (["simulate", "--day", "2031-01-01"], "2031-01-01", 2),
    (["simulate", "--day", "yesterday"], "yesterday", 2),
    (["demo", "--hours", "48"], "--hours is 48.0, expected 1 to 24", 2),
    (["demo", "--seconds", "nan"], "--seconds is nan, expected 10 to 86400", 2),
    (["demo", "--seconds", "20"], "expected 1000 at most: more --seconds", 2),
    (["demo", "--scenario", "moon"], "no scenario 'moon'", 2),
    (["guard", "--site", "{tmp}/none.toml"], "none.toml: cannot be read", 2),
    (["replay", "{tmp}"], "has no file of a journal (*.hwj)", 2),
    (["fly"], "invalid choice: 'fly'", 2),
]


@pytest.mark.parametrize(("words", "told", "code"), BAD, ids=[" ".join(words) for words, _, _ in BAD])
def test_what_cannot_be_used_is_one_message_and_a_code(tmp_path: Path, words: list[str], told: str, code: int) -> None:
    """A traceback tells an operator nothing; a message names what, its value, and what was expected."""
    files = {
        "good": GARAGE,
        "half": GARAGE[:20],
        "negative": GARAGE.replace("62", "-1e6"),
        "twice": GARAGE + GARAGE[GARAGE.index("[[") :].replace("127.0.0.11", "127.0.0.12"),
        "unknown": "colour = 1\n" + GARAGE,
        "secret": GARAGE + '[credentials.default]\npassword_file = "/no-such-file"\n',
        "far": f'state = "{"long" * 30}"\n' + GARAGE,
        "nowhere": 'state = "/proc/nowhere"\n' + GARAGE,
    }
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text)
    found, output, errors = given(*(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert found == code, errors
    assert told in errors
    assert output == ""
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith(f"hashwatt {words[0]}: ") or "usage:" in errors
    assert (tmp_path / "good.toml").read_text() == GARAGE


def test_json_is_what_the_documentation_says(real: Real) -> None:
    """A program that reads `--json` breaks on a field that is missing, renamed, or NaN."""

    async def work(site: Any) -> None:
        await site.start()
        await site.order("hold", "b", why="test")
        await site.ticks(2)
        where = ("--site", str(site.path))
        code, output, _ = await asked("status", "--json", *where)
        status = json.loads(output, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert code == 0
        assert set(status) == {"site", "sums", "orders", "feeds", "tap", "short", "events"}
        assert SiteSums.model_validate(status["sums"], extra="forbid").machines == 2
        assert [feed["source"] for feed in status["feeds"]] == ["hash", "book", "power1"]
        code, output, _ = await asked("explain", "lux-1", "--json", *where)
        told = Explanation.model_validate(json.loads(output), extra="forbid")
        assert (code, told.machine, told.mode) == (0, "lux-1", site.modes["lux-1"])
        code, output, _ = await asked("order", "cap", "a", "--cap-kw", "2", "--for", "90s", "--json", *where)
        order = json.loads(output)["order"]
        assert (code, order["cap_w"], order["until_s"] - order["given_s"]) == (0, 2_000.0, 90.0)
        await asked("order", "release", "a", *where)
        await site.ticks(1)
        _, output, _ = await asked("status", "--json", *where)
        assert [(held["kind"], held["scope"]) for held in json.loads(output)["orders"]] == [("hold", "b")]
        code, output, _ = await asked("check", "--json", *where)
        checked = json.loads(output)
        assert (code, checked["faults"], [row["answered"] for row in checked["machines"]]) == (0, [], [True, True])
        assert checked["power_usd_mwh"] == 30.0
        code, output, _ = await asked("once", "--json", *where)
        looked = json.loads(output)
        assert (code, SiteSums.model_validate(looked["sums"], extra="forbid").dry_run) == (0, True)
        assert {row["machine"] for row in looked["machines"]} == {"lux-1", "ant-1"}
        assert not site.daemon.loop.outcomes["refused"]

    real(work, (LUXOS, ANTMINER))


def test_refusals_have_their_own_code(real: Real) -> None:
    """An order that was not taken must not look like one that was."""

    async def work(site: Any) -> None:
        await site.start()
        where = ("--site", str(site.path))
        for words, told in (
            (["explain", "nobody"], "machine is 'nobody'"),
            (["order", "curtail", "hall"], "scope is 'hall', expected"),
            (["order", "cap", "a"], "cap_kw is None, expected a power in kW"),
            (["order", "cap", "a", "--cap-kw", "-1"], "cap_kw is -1.0"),
            (["order", "cap", "a", "--cap-kw", "nan"], "cap_kw"),
            (["order", "curtail", "--cap-kw", "3"], "cap_kw is 3.0, expected"),
            (["order", "curtail", "--for", "32d"], "at most 31 days ahead"),
            (["order", "curtail", "--for", "0s"], "expected a time from now"),
        ):
            code, output, errors = await asked(*words, *where)
            assert (code, output) == (4, ""), (words, errors)
            assert told in errors, errors
            assert len(errors.splitlines()) == 1, errors
        assert (await site.status())["orders"] == []

    real(work, (LUXOS,))


def test_tables_can_be_read_at_80_columns(real: Real) -> None:
    """A table whose rows are cut or wrapped through each other is no table."""

    async def work(site: Any) -> None:
        await site.start()
        await site.order("curtail", "ant-1", why="the grid asked for it until the evening")
        await site.until(lambda: site.asleep("ant-1"), "one asleep")
        await site.ticks(2)
        where = ("--site", str(site.path))
        given = (["status"], ["explain", "ant-1"], ["check"], ["once"])
        shown = [await asyncio.to_thread(on_a_terminal, 80, *words, *where) for words in given]
        for words, (code, text) in zip(given, shown, strict=True):
            assert code == 0, text
            assert max(map(len, text.splitlines())) <= 80, text
            for name in ("lux-1", "ant-1") if words[0] in {"check", "once"} else ("ant-1",):
                assert any(line.split()[:1] == [name] or name in line for line in text.splitlines()), text
        explained = shown[1][1]
        assert "off: operator order" in explained, explained
        row = next(line for line in shown[2][1].splitlines() if line.startswith(" ant-1"))
        assert "sleeping" in row
        assert "35 est." in row

    real(work, (LUXOS, ANTMINER), polling={"read_deadline_s": 5})


def test_check_names_what_is_wrong(real: Real) -> None:
    """A check that passes a site with a dead machine or a dead feed is worse than none."""

    async def work(site: Any) -> None:
        site.price.broken = True
        code, output, _ = await asked("check", "--json", "--site", str(site.path))
        faults = json.loads(output)["faults"]
        assert code == 1
        assert [fault.split(":")[0] for fault in faults] == [
            "machine ant-1",
            "feed power1",
            "signal power_usd_mwh is not known",
        ]
        code, output, _ = await asked("once", "--site", str(site.path))
        assert code == 1
        assert "not known: power_usd_mwh" in output
        assert "no answer" in output

    real(work, (LUXOS, ANTMINER), faults={1: Fault.DROP})


def test_help_is_light_and_lists_every_command() -> None:
    """A command line that takes a second to say what it can do feels broken, and every command starts that way."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = (
        "import sys; from controllers.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'httpx', 'rich', 'aiohttp', 'aiomqtt', 'pyasic', 'prometheus_client'}\n"
        "sys.stderr.write(' '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr == ""
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.25


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_its_arguments(name: str) -> None:
    """`hashwatt COMMAND --help` is where a stranger begins."""
    code, output, errors = given(name, "--help")
    assert (code, errors) == (0, "")
    assert output.startswith(f"usage: hashwatt {name}")


def test_the_written_documentation_is_that_of_the_code() -> None:
    """A key or an option that the pages do not know is a key that nobody finds."""
    if not (ROOT / "docs" / "build.py").exists():
        pytest.skip("no source tree beside the tests")
    done = subprocess.run(
        [sys.executable, "docs/build.py", "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
