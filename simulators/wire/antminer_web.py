"""A stock Antminer's port 80: digest-guarded CGI pages, by which it is controlled.

They follow the captured `system_info` and what independent clients and mocks agree on (asic-rs, pyasic,
tetherto/miningos-wrk-miner-antminer, block/proto-fleet): documented only, until captures are had. A write of the
configuration replaces the pools by what was sent, whatever that is, and restarts the miner: that is how blank pools get
onto real machines. While it sleeps, `stats` and `summary` are empty lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from typing_extensions import override

from fleet.columns import OFF_LADDER
from fleet.machine import SLEEP, SLEEP_NAME
from fleet.reading import State
from simulators.instruments import Telemetry
from simulators.unit import PoolSlot, Unit
from simulators.wire.antminer import COMPILED, FREQUENCY_MHZ, MINER, corners, frequency_mhz, pool_entry
from simulators.wire.cgminer import GHS_PER_THS, Reply, chip_map
from simulators.wire.http import Digest, Page, Request, WebConversation

KERNEL = "Linux 4.6.0-xilinx-gff8137b-dirty #25 SMP PREEMPT Fri Nov 23 15:30:52 CST 2018"
REALM = "antMiner Configuration"
USER, PASSWORD = "root", "root"
NORMAL = "0"
WORK_MODES = {SLEEP_NAME: "1", "high": "2", "low": "3"}
"""Operating points by name as `bitmain-work-mode` (a string when read, a number or a string when written); the usual
one is NORMAL."""
WRITES = frozenset({"/cgi-bin/set_miner_conf.cgi", "/cgi-bin/reboot.cgi"})


class AntminerWeb(WebConversation):
    """One request on port 80."""

    @override
    def changes(self, request: Request) -> bool:
        """Writes are these pages, and only for who may."""
        return (
            request.path in {"/cgi-bin/set_miner_conf.cgi", "/cgi-bin/reboot.cgi"}
            and "authorization" in request.headers
        )

    @override
    def respond(self, request: Request) -> Page:
        """Every page asks for the password first."""
        unit = self.unit
        refusal = Digest(REALM, USER, PASSWORD, unit.mark).refusal(request)
        if refusal is not None:
            return Page(401, b"<h1>401 - Unauthorized</h1>", "text/html", refusal)
        if request.path == "/":
            return Page(200, b"<html><head><title>Antminer</title></head></html>", "text/html")
        page = PAGES.get(request.path)
        if page is None:
            return Page(404, b"<h1>404 - Not Found</h1>", "text/html")
        try:
            sent = json.loads(request.body) if request.body else {}
        except ValueError:
            return _json({"stats": "error", "code": "M001", "msg": "Invalid json!"})
        return _json(page(unit, unit.telemetry(), sent if isinstance(sent, dict) else {}))


def _json(content: Reply) -> Page:
    return Page(200, json.dumps(content, separators=(",", ":")).encode())


def _system_info(unit: Unit, _t: Telemetry, _sent: Reply) -> Reply:
    return {
        "minertype": unit.machine.model,
        "nettype": "DHCP",
        "netdevice": "eth0",
        "macaddr": unit.mac,
        "hostname": unit.hostname,
        "ipaddress": unit.machine.host,
        "netmask": "255.0.0.0",
        "gateway": "",
        "dnsservers": "",
        "system_mode": "GNU/Linux",
        "system_kernel_version": KERNEL,
        "system_filesystem_version": COMPILED,
        "firmware_type": "Release",
        "serinum": unit.serial,
    }


def _miner_type(unit: Unit, _t: Telemetry, _sent: Reply) -> Reply:
    subtype = f"AMLCtrl_{unit.hardware.board}"
    return {"miner_type": unit.machine.model, "subtype": subtype, "fw_version": COMPILED}


def _network_info(unit: Unit, _t: Telemetry, _sent: Reply) -> Reply:
    return {
        "nettype": "DHCP",
        "netdevice": "eth0",
        "macaddr": unit.mac,
        "ipaddress": unit.machine.host,
        "netmask": "255.0.0.0",
        "conf_nettype": "DHCP",
        "conf_hostname": unit.hostname,
        "conf_ipaddress": "",
        "conf_netmask": "",
        "conf_gateway": "",
        "conf_dnsservers": "",
    }


def _work_mode(unit: Unit, t: Telemetry) -> str:
    name = unit.machine.modes[t.target].name
    return NORMAL if name == unit.machine.usual else WORK_MODES.get(name, NORMAL)


def _column(unit: Unit, code: str) -> int:
    """The operating point of a work mode; negative when the model has none."""
    if code == NORMAL:
        return unit.machine.mode_named(unit.machine.usual)
    names = [name for name, known in WORK_MODES.items() if known == code]
    return unit.machine.mode_named(names[0]) if names else OFF_LADDER


def _get_conf(unit: Unit, t: Telemetry, _sent: Reply) -> Reply:
    return {
        "pools": [{"url": slot.url, "user": slot.user, "pass": slot.password} for slot in unit.pools],
        "api-listen": True,
        "api-network": True,
        "api-groups": "A:stats:pools:devs:summary:version",
        "api-allow": "A:0/0,W:*",
        "bitmain-fan-ctrl": False,
        "bitmain-fan-pwm": "100",
        "bitmain-use-vil": True,
        "bitmain-freq": str(FREQUENCY_MHZ),
        "bitmain-voltage": "1360",
        "bitmain-ccdelay": "1",
        "bitmain-pwth": "1",
        "bitmain-work-mode": _work_mode(unit, t),
        "bitmain-hashrate-percent": "100",
        "bitmain-freq-level": "100",
    }


def _set_conf(unit: Unit, t: Telemetry, sent: Reply) -> Reply:
    asked = sent.get("miner-mode", sent.get("bitmain-work-mode", _work_mode(unit, t)))
    column = _column(unit, str(asked))
    if column < 0:
        return {"stats": "error", "code": "M001", "msg": "Invalid miner mode!"}
    pools = sent.get("pools")
    if not isinstance(pools, list) or not all(isinstance(pool, dict) for pool in pools):
        return {"stats": "error", "code": "M001", "msg": "Invalid pool!"}
    if unit.obeys:
        unit.pools = [PoolSlot(*(str(pool.get(key, "")) for key in ("url", "user", "pass"))) for pool in pools[:3]]
    if column == t.target:
        unit.restart()
    else:
        unit.take(column)
    return {"stats": "success", "code": "M000", "msg": "OK!"}


def _envelope(unit: Unit, t: Telemetry, kind: str) -> Reply:
    return {
        "STATUS": {"STATUS": "S", "when": int(t.at_s), "Msg": kind, "api_version": "1.0.0"},
        "INFO": {"miner_version": MINER, "CompileTime": COMPILED, "type": unit.machine.model},
    }


def _web_summary(unit: Unit, t: Telemetry, _sent: Reply) -> Reply:
    fault = t.state == State.FAULTED
    status = [
        _light("rate", bad=fault, message="low hash rate"),
        _light("network", bad=False, message=""),
        _light("fans", bad=0 in t.fans_rpm, message="fan speed error"),
        _light("temp", bad=max(t.chip_c) > 100.0, message="temperature too high"),
    ]
    entry = {
        "elapsed": int(t.elapsed_s),
        **_rates(t),
        "hw_all": t.errors,
        "bestshare": int(t.share_difficulty),
        "status": status,
    }
    return _envelope(unit, t, "summary") | {"SUMMARY": [] if t.target == SLEEP else [entry]}


def _light(kind: str, *, bad: bool, message: str) -> Reply:
    return {"type": kind, "status": "e" if bad else "s", "code": int(bad), "msg": message if bad else ""}


def _rates(t: Telemetry) -> Reply:
    return {
        "rate_5s": round(t.rate_ths * GHS_PER_THS, 2),
        "rate_30m": round(t.rate_30m_ths * GHS_PER_THS, 2),
        "rate_avg": round(t.rate_av_ths * GHS_PER_THS, 2),
        "rate_ideal": float(t.ideal_ths * GHS_PER_THS),
        "rate_unit": "GH/s",
    }


def _web_stats(unit: Unit, t: Telemetry, _sent: Reply) -> Reply:
    chain = []
    for board, share in enumerate(t.board_rate):
        pcb, chip = corners(t.board_c[board], 4.0), corners(t.chip_c[board], t.chip_spread_c)
        chips = unit.hardware.chips if share else 0
        entry = {
            "index": board,
            "freq_avg": frequency_mhz(unit, t) if share else 0,
            "rate_ideal": round(t.ideal_ths * GHS_PER_THS / len(t.board_rate), 2),
            "rate_real": round(t.rate_ths * share * GHS_PER_THS, 2),
            "asic_num": chips,
            "asic": chip_map(chips),
            "temp_pic": [max(0, c - 10) for c in pcb],
            "temp_pcb": pcb,
            "temp_chip": chip,
            "hw": int(t.errors * share),
            "eeprom_loaded": True,
            "sn": f"{unit.serial}B{board}",
        }
        chain.append(entry)
    entry = {
        "elapsed": int(t.elapsed_s),
        **_rates(t),
        "chain_num": len(chain),
        "fan_num": len(t.fans_rpm),
        "fan": list(t.fans_rpm),
        "hwp_total": 0.0,
        "miner-mode": int(_work_mode(unit, t)),
        "freq-level": 100,
        "chain": chain,
    }
    return _envelope(unit, t, "stats") | {"STATS": [] if t.target == SLEEP else [entry]}


def _web_pools(unit: Unit, t: Telemetry, _sent: Reply) -> Reply:
    pools = [
        {
            "index": pool["POOL"],
            "url": pool["URL"],
            "user": pool["User"],
            "status": pool["Status"],
            "priority": pool["Priority"],
            "getworks": pool["Getworks"],
            "accepted": pool["Accepted"],
            "rejected": pool["Rejected"],
            "discarded": pool["Discarded"],
            "stale": pool["Stale"],
            "diff": pool["Diff"],
            "diff1": pool["Diff1 Shares"],
            "diffa": pool["Difficulty Accepted"],
            "diffr": pool["Difficulty Rejected"],
            "diffs": pool["Difficulty Stale"],
            "lsdiff": pool["Last Share Difficulty"],
            "lstime": pool["Last Share Time"],
        }
        for pool in (pool_entry(unit, t, index, slot) for index, slot in enumerate(unit.pools))
    ]
    return _envelope(unit, t, "pools") | {"POOLS": pools}


def _blink(unit: Unit, _t: Telemetry, sent: Reply) -> Reply:
    unit.light = str(sent.get("blink", "false")).lower() == "true"
    return {"code": "B000" if unit.light else "B100"}


def _blink_status(unit: Unit, _t: Telemetry, _sent: Reply) -> Reply:
    return {"blink": unit.light}


def _reboot(unit: Unit, _t: Telemetry, _sent: Reply) -> Reply:
    unit.reboot()
    return {"stats": "success", "code": "R000", "msg": "OK!"}


PAGES: dict[str, Callable[[Unit, Telemetry, Reply], Reply]] = {
    "/cgi-bin/get_system_info.cgi": _system_info,
    "/cgi-bin/miner_type.cgi": _miner_type,
    "/cgi-bin/get_network_info.cgi": _network_info,
    "/cgi-bin/get_miner_conf.cgi": _get_conf,
    "/cgi-bin/set_miner_conf.cgi": _set_conf,
    "/cgi-bin/summary.cgi": _web_summary,
    "/cgi-bin/stats.cgi": _web_stats,
    "/cgi-bin/pools.cgi": _web_pools,
    "/cgi-bin/blink.cgi": _blink,
    "/cgi-bin/get_blink_status.cgi": _blink_status,
    "/cgi-bin/reboot.cgi": _reboot,
}
