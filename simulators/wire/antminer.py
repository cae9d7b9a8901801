"""A stock Antminer: cgminer's API on port 4028 for reading, digest-guarded CGI pages on port 80 for control.

Port 4028 follows the captures in `captures/antminer`; joined commands are refused. The pages follow the captured
`system_info` and what independent clients and mocks agree on (asic-rs, pyasic, tetherto/miningos-wrk-miner-antminer,
block/proto-fleet): documented only, until captures are had. A write of the configuration replaces the pools by what was
sent, whatever that is, and restarts the miner: that is how blank pools get onto real machines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from typing_extensions import override

from fleet.columns import OFF_LADDER
from fleet.machine import SLEEP, SLEEP_NAME
from fleet.reading import State
from simulators.instruments import Telemetry
from simulators.unit import PoolSlot, Unit
from simulators.wire.cgminer import (
    GHS_PER_THS,
    MHS_PER_THS,
    CgminerConversation,
    Reply,
    chains,
    chip_map,
    clock_text,
    difficulty_text,
)
from simulators.wire.http import Digest, Page, Request, WebConversation

MINER = "49.0.1.3"
COMPILED = "Tue Dec  6 16:12:30 CST 2022"
KERNEL = "Linux 4.6.0-xilinx-gff8137b-dirty #25 SMP PREEMPT Fri Nov 23 15:30:52 CST 2018"
REALM = "antMiner Configuration"
USER, PASSWORD = "root", "root"
NORMAL = "0"
WORK_MODES = {SLEEP_NAME: "1", "high": "2", "low": "3"}
"""Operating points by name as `bitmain-work-mode` (a string when read, a number or a string when written); the usual
one is NORMAL."""
FREQUENCY_MHZ = 525


class AntminerConversation(CgminerConversation):
    """One request on port 4028."""

    @override
    def describes(self) -> str:
        """The miner's name and version."""
        return "cgminer 1.0.0"

    @override
    def writes(self, command: str) -> bool:
        """Nothing is written over this port."""
        return False

    @override
    def perform(self, command: str, parameter: str) -> Reply:
        """One command; joined ones are refused."""
        verb = self.VERBS.get(command)
        return verb(self) if verb else self.status("E", 14, "Invalid command")

    def _version(self) -> Reply:
        entry = {"BMMiner": "1.0.0", "API": "3.1", "Miner": MINER, "CompileTime": COMPILED}
        entry["Type"] = self.unit.machine.model
        return self.success(22, "CGMiner versions", version=[entry])

    def _summary(self) -> Reply:
        t = self.unit.telemetry()
        found = t.accepted + t.rejected
        entry = {
            "Elapsed": int(t.elapsed_s),
            "GHS 5s": round(t.rate_ths * GHS_PER_THS, 2),
            "GHS av": round(t.rate_av_ths * GHS_PER_THS, 2),
            "GHS 30m": round(t.rate_30m_ths * GHS_PER_THS, 2),
            "Found Blocks": 0,
            "Getwork": int(t.elapsed_s // 12),
            "Accepted": t.accepted,
            "Rejected": t.rejected,
            "Hardware Errors": t.errors,
            "Utility": round(60.0 * t.accepted / t.elapsed_s, 2) if t.elapsed_s > 0 else 0.0,
            "Discarded": int(t.elapsed_s * 90),
            "Stale": t.stale,
            "Get Failures": 0,
            "Local Work": int(t.elapsed_s * 90),
            "Remote Failures": 0,
            "Network Blocks": int(t.elapsed_s // 600),
            "Total MH": float(round(t.run_th * MHS_PER_THS)),
            "Work Utility": round(60.0 * found * t.share_difficulty / t.elapsed_s, 2) if t.elapsed_s > 0 else 0.0,
            "Difficulty Accepted": t.accepted * t.share_difficulty,
            "Difficulty Rejected": t.rejected * t.share_difficulty,
            "Difficulty Stale": t.stale * t.share_difficulty,
            "Best Share": int(t.share_difficulty),
            "Device Hardware%": 0.0,
            "Device Rejected%": 0.0,
            "Pool Rejected%": round(100.0 * t.rejected / found, 4) if found else 0.0,
            "Pool Stale%": 0.0,
            "Last getwork": int(t.at_s),
        }
        return self.success(11, "Summary", summary=[entry])

    def _stats(self) -> Reply:
        unit, t = self.unit, self.unit.telemetry()
        entry: Reply = {"STATS": 0, "ID": "BTM_SOC0", "Elapsed": int(t.elapsed_s), "Calls": 0, "Wait": 0, "Max": 0}
        entry |= {"Min": 99999999, "Mode": 2, **chains(unit, t, t.rate_ths), "chain_rate4": ""}
        frequency = _frequency_mhz(unit, t)
        for board in range(1, 5):
            there = board <= len(t.chip_c)
            pcb = _corners(t.board_c[board - 1], 4.0) if there else [0] * 4
            chip = _corners(t.chip_c[board - 1], t.chip_spread_c) if there else [0] * 4
            entry[f"temp_pcb{board}"] = "-".join(map(str, pcb))
            entry[f"temp_chip{board}"] = "-".join(map(str, chip))
            entry[f"temp_pic{board}"] = "-".join(str(max(0, c - 10)) for c in pcb)
            entry[f"freq{board}"] = frequency if there and t.board_rate[board - 1] else 0
            entry[f"fan{board}"] = t.fans_rpm[board - 1] if board <= len(t.fans_rpm) else 0
        entry |= {f"temp{board}": round(t.board_c[board - 1]) for board in (1, 2, 3)}
        entry |= {f"temp2_{board}": round(t.chip_c[board - 1]) for board in (1, 2, 3)}
        entry |= {
            "GHS 5s": round(t.rate_ths * GHS_PER_THS, 2),
            "GHS av": round(t.rate_av_ths * GHS_PER_THS, 2),
            "rate_30m": round(t.rate_30m_ths * GHS_PER_THS, 2),
            "miner_count": sum(1 for share in t.board_rate if share),
            "frequency": frequency,
            "fan_num": len(t.fans_rpm),
            "temp_num": 3,
            "temp_max": 0,
            "total_rateideal": float(t.ideal_ths * GHS_PER_THS),
            "rate_unit": "GH",
            "total_freqavg": frequency,
            "total_acn": sum(unit.hardware.chips for share in t.board_rate if share),
            "total rate": round(t.rate_av_ths * GHS_PER_THS, 2),
            "no_matching_work": t.errors,
            "miner_version": MINER,
            "miner_id": unit.mark[:16],
        }
        head = {"BMMiner": "1.0.0", "Miner": MINER, "CompileTime": COMPILED, "Type": unit.machine.model}
        return self.success(70, "CGMiner stats", stats=[head, entry])

    def _pools(self) -> Reply:
        t = self.unit.telemetry()
        entries = [_pool(t, index, slot) for index, slot in enumerate(self.unit.pools)]
        return self.success(7, f"{len(entries)} Pool(s)", pools=entries)

    def _devs(self) -> Reply:
        t = self.unit.telemetry()
        entry = {
            "ASC": 0,
            "Name": "BTM_SOC",
            "ID": 0,
            "Enabled": "Y",
            "Status": "Alive",
            "Tenperature": 0.0,
            "MHS av": 0.0,
            "MHS 5s": 0.0,
            "Accepted": t.accepted,
            "Rejected": t.rejected,
            "Hardware Errors": 0,
            "Utility": 0.0,
            "Last Share Pool": 0,
            "Last Share Time": int(t.at_s),
            "Total MH": 0.0,
            "Diff1 Work": 0,
            "Difficulty Accepted": int(t.accepted * t.share_difficulty),
            "Difficulty Rejected": int(t.rejected * t.share_difficulty),
            "Last Share Difficulty": int(t.at_s),
            "Last Valid Work": int(t.at_s),
            "Device Hardware%": 0.0,
            "Device Rejected%": 0.0,
            "Device Elapsed": int(t.elapsed_s),
        }
        return self.success(9, "1 ASC(s)", devs=[entry])

    VERBS: ClassVar[dict[str, Callable[[Any], Reply]]] = {
        "version": _version,
        "summary": _summary,
        "stats": _stats,
        "pools": _pools,
        "devs": _devs,
    }


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


def _frequency_mhz(unit: Unit, t: Telemetry) -> int:
    modes = unit.machine.modes
    usual = modes[unit.machine.mode_named(unit.machine.usual)].hashrate_ths
    return round(FREQUENCY_MHZ * modes[t.target].hashrate_ths / usual)


def _corners(middle_c: float, spread_c: float) -> list[int]:
    """Four sensors around their mean: two at the outlet, two at the inlet."""
    return [round(middle_c + part * spread_c) for part in (0.5, -0.5, 0.25, -0.25)]


def _pool(t: Telemetry, index: int, slot: PoolSlot) -> Reply:
    used = index == 0 and bool(slot.url)
    active = used and t.target != SLEEP
    accepted, rejected, stale = (t.accepted, t.rejected, t.stale) if index == 0 else (0, 0, 0)
    found = accepted + rejected
    return {
        "POOL": index,
        "URL": slot.url,
        "Status": "Alive" if slot.url else "Dead",
        "Priority": index,
        "Quota": 1,
        "Long Poll": "N",
        "Getworks": int(t.elapsed_s // 12) if used else 3,
        "Accepted": accepted,
        "Rejected": rejected,
        "Discarded": int(t.elapsed_s * 90) if used else 0,
        "Stale": stale,
        "Get Failures": 0,
        "Remote Failures": 0,
        "User": slot.user,
        "Last Share Time": clock_text(3.0) if active else "0",
        "Diff": difficulty_text(t.share_difficulty) if used else "",
        "Diff1 Shares": 0,
        "Proxy Type": "",
        "Proxy": "",
        "Difficulty Accepted": accepted * t.share_difficulty,
        "Difficulty Rejected": rejected * t.share_difficulty,
        "Difficulty Stale": stale * t.share_difficulty,
        "Last Share Difficulty": t.share_difficulty if used else 0.0,
        "Has Stratum": True,
        "Stratum Active": active,
        "Stratum URL": slot.url.split("//", 1)[-1].split(":", 1)[0] if active else "",
        "Has GBT": False,
        "Best Share": t.share_difficulty if used else 0.0,
        "Pool Rejected%": round(100.0 * rejected / found, 4) if found else 0.0,
        "Pool Stale%%": 0.0,
    }


# ------------------------------------------------------------------------------------------------------------ the pages


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
        pcb, chip = _corners(t.board_c[board], 4.0), _corners(t.chip_c[board], t.chip_spread_c)
        chips = unit.hardware.chips if share else 0
        entry = {
            "index": board,
            "freq_avg": _frequency_mhz(unit, t) if share else 0,
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
        for pool in (_pool(t, index, slot) for index, slot in enumerate(unit.pools))
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
