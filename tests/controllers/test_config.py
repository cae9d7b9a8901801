"""The site file: what is wrong is told with its path, its value and what was expected; what is right resolves."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from controllers.config import SiteError, load_site, read_secret, site_of

GOOD = """
name = "garage"
tariff = { kind = "fixed", usd_mwh = 62 }
feeds = [{ kind = "mempool", url = "http://127.0.0.1:8999/api" }]
caps_kw = { site = 9, "feeder-a" = 6.5 }

[[machines]]
id = "m1"
model = "Antminer S19j Pro"
dialect = "antminer"
host = "127.0.0.11"
place = "feeder-a/rack-1"

[[machines]]
id = "m2"
model = "Antminer S19k Pro"
dialect = "luxos"
host = "127.0.0.12"
place = "feeder-a/rack-2"
"""


def site(text: str, path: Path = Path("site.toml")) -> Any:
    """A site of TOML text."""
    return site_of(tomllib.loads(text), path)


def test_a_good_file_resolves() -> None:
    """Machines get their ladders from the catalogue, places their tree and caps, and nothing is live unasked."""
    found = site(GOOD)
    assert found.roster.tree.names == ("", "feeder-a", "feeder-a/rack-1", "feeder-a/rack-2")
    assert found.roster.tree.cap_w.tolist() == [9_000.0, 6_500.0, float("inf"), float("inf")]
    assert found.roster.machines[0].modes[0].name == "sleep"
    assert len(found.roster.machines[1].modes) > 20
    assert not found.live.any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("tariff", "tarif = 1\ntariff"), "tarif: unknown key"),
        (("usd_mwh = 62", "usd_mwh = 62, colour = 1"), "site.toml: tariff.colour: unknown key"),
        (("usd_mwh = 62", "usd_mwh = 1e9"), "site.toml: tariff.usd_mwh: is 1000000000.0, expected less than or equal to 20000"),
        (("usd_mwh = 62", "usd_mwh = nan"), "site.toml: tariff.usd_mwh: is nan"),
        (('kind = "fixed"', 'kind = "free"'), "tariff"),
        (("site = 9", "site = -9"), "caps_kw.site: is -9"),
        (('host = "127.0.0.12"', 'host = "127.0.0.11"'), "address 127.0.0.11"),
        (('id = "m2"', 'id = "m1"'), "id m1 is that of machine"),
        (('dialect = "luxos"', 'dialect = "lux"'), "dialect 'lux' is not known, expected one of"),
        (('model = "Antminer S19k Pro"', 'model = "Antminer S99"'), "no nameplate for model 'Antminer S99'"),
        (('"feeder-a" = 6.5', '"feeder-b" = 6.5'), "caps_kw.feeder-b: no machine stands there"),
        (('[[machines]]\nid = "m1"', "[control]\nlive = ['hall']\n[[machines]]\nid = \"m1\""), "control.live is 'hall'"),
        (('[[machines]]\nid = "m1"', '[pace]\nramp_up_kw_min = 1\n[[machines]]\nid = "m1"'), "pace.ramp_up_kw_min is 1.0"),
        (('place = "feeder-a/rack-2"', 'place = "feeder-a/rack-2"\ncredentials = "x"'), "credentials is 'x'"),
        (('name = "garage"', 'name = "gar age"'), "name: is 'gar age'"),
        (('host = "127.0.0.12"', ""), "machines[1].host: missing"),
        (('host = "127.0.0.12"', 'host = "127.0.0.12 "'), "machines[1].host: is '127.0.0.12 '"),
        (('host = "127.0.0.12"', 'host = "http://127.0.0.12"'), "machines[1].host: is 'http://127.0.0.12'"),
        (('kind = "mempool", url', 'kind = "mempool", address'), "site.toml: feeds[0].url: missing"),
        (
            (
                'kind = "mempool", url = "http://127.0.0.1:8999/api"',
                'kind = "fixed", quantity = "coin_usd", unit = "EUR", value = 1',
            ),
            "EUR",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(change: tuple[str, str], told: str) -> None:
    """A fault that does not name its place leaves the operator searching a file of ten thousand machines."""
    assert change[0] in GOOD
    with pytest.raises(SiteError) as caught:
        site(GOOD.replace(*change, 1))
    assert told in str(caught.value)
    assert "site.toml" in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    """An operator mends a file in one go, not fault by fault."""
    text = GOOD.replace("usd_mwh = 62", "usd_mwh = 1e9").replace("site = 9", "site = 0")
    with pytest.raises(SiteError) as caught:
        site(text)
    assert len(str(caught.value).splitlines()) == 2


def test_a_time_of_use_table_with_a_hole_is_refused() -> None:
    """A tariff with an hour that has no price would be a silent default."""
    text = GOOD.replace(
        '{ kind = "fixed", usd_mwh = 62 }',
        '{ kind = "time-of-use", zone = "America/Chicago", bands = [{ usd_mwh = 50, start = 00:00:00, end = 17:00:00 }] }',
    )
    with pytest.raises(SiteError, match="no band at month 1, mon 17:00"):
        site(text)


@pytest.mark.parametrize("text", ["name = ", "\x00", "machines = 3"])
def test_no_toml_is_an_error_and_no_traceback(text: str, tmp_path: Path) -> None:
    """A half-written file names itself."""
    path = tmp_path / "half.toml"
    path.write_text(text)
    with pytest.raises(SiteError, match=r"half\.toml"):
        load_site(path)


def test_secrets_come_from_files_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password never stands in the site file, and a missing one is named by its place alone."""
    path = tmp_path / "p"
    path.write_text("hush\nsecond line\n")
    monkeypatch.setenv("MINER_PASSWORD", "quiet")
    assert read_secret(path, None) == "hush"
    assert read_secret(None, "MINER_PASSWORD") == "quiet"
    assert read_secret(None, None) is None
    with pytest.raises(SiteError, match="not set"):
        read_secret(None, "NO_SUCH_VARIABLE_HERE")
    with pytest.raises(SiteError, match="cannot be read"):
        read_secret(tmp_path / "none", None)


def test_the_settings_that_a_journal_keeps_hold_no_secret(tmp_path: Path) -> None:
    """A journal is a bug report: it may be sent to a stranger."""
    (tmp_path / "p").write_text("hush\n")
    text = GOOD + f'\n[credentials.default]\nusername = "root"\npassword_file = "{tmp_path / "p"}"\n'
    found = site(text)
    assert found.credentials(0).password == "hush"
    assert "hush" not in found.settings_json()
    assert "hush" not in repr(found.credentials(0))


def test_a_password_file_stands_beside_its_site_file(tmp_path: Path) -> None:
    """A service starts in another directory than the person who tried the file out; the password must be found from both."""
    (tmp_path / "p").write_text("hush\n")
    text = GOOD + '\n[credentials.default]\nusername = "root"\npassword_file = "p"\n'
    assert site(text, tmp_path / "site.toml").credentials(0).password == "hush"
    with pytest.raises(
        SiteError, match=r"elsewhere/site\.toml: credentials\.default: secret file elsewhere/p: cannot be read"
    ):
        site(text, Path("elsewhere/site.toml")).credentials(0)


@pytest.mark.parametrize(
    "url", ["http://me:hush@127.0.0.1/x?key=hush", "gopher://hush@127.0.0.1/x", "ftp://127.0.0.1/?k=hush"]
)
def test_a_refused_address_does_not_tell_its_secret(url: str) -> None:
    """What a command says ends in logs and tickets."""
    text = GOOD.replace("http://127.0.0.1:8999/api", url)
    with pytest.raises(SiteError, match=r"feeds\[0\]\.url: is '[a-z]+://") as caught:
        site(text)
    assert "hush" not in str(caught.value)
