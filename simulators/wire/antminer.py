"""A stock Antminer's port 4028: cgminer's API for reading, as captured (tests/fleet/captures/antminer).

Joined commands are refused, and nothing is written here: control is on the web pages (`antminer_web`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from typing_extensions import override

from simulators.instruments import Telemetry
from simulators.unit import PoolSlot, Unit
from simulators.wire.cgminer import (
    GHS_PER_THS,
    MHS_PER_THS,
    CgminerConversation,
    Reply,
    chains,
    clock_text,
    difficulty_text,
)

MINER = "49.0.1.3"
COMPILED = "Tue Dec  6 16:12:30 CST 2022"
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
        found, found_work = t.accepted + t.rejected, t.accepted_work + t.rejected_work
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
            "Work Utility": round(60.0 * found_work / t.elapsed_s, 2) if t.elapsed_s > 0 else 0.0,
            "Difficulty Accepted": t.accepted_work,
            "Difficulty Rejected": t.rejected_work,
            "Difficulty Stale": t.stale_work,
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
        frequency = frequency_mhz(unit, t)
        for board in range(1, 5):
            there = board <= len(t.chip_c)
            pcb = corners(t.board_c[board - 1], 4.0) if there else [0] * 4
            chip = corners(t.chip_c[board - 1], t.chip_spread_c) if there else [0] * 4
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
        entries = [pool_entry(self.unit, t, index, slot) for index, slot in enumerate(self.unit.pools)]
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
            "Difficulty Accepted": int(t.accepted_work),
            "Difficulty Rejected": int(t.rejected_work),
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


def frequency_mhz(unit: Unit, t: Telemetry) -> int:
    """The frequency at the operating point that is set."""
    modes = unit.machine.modes
    usual = modes[unit.machine.mode_named(unit.machine.usual)].hashrate_ths
    return round(FREQUENCY_MHZ * modes[t.target].hashrate_ths / usual)


def corners(middle_c: float, spread_c: float) -> list[int]:
    """Four sensors around their mean: two at the outlet, two at the inlet."""
    return [round(middle_c + part * spread_c) for part in (0.5, -0.5, 0.25, -0.25)]


def pool_entry(unit: Unit, t: Telemetry, index: int, slot: PoolSlot) -> Reply:
    """One pool as `pools` lists it."""
    count = unit.pool_count(t, index)
    found = count.accepted + count.rejected
    return {
        "POOL": index,
        "URL": slot.url,
        "Status": "Alive" if slot.url and not count.dead else "Dead",
        "Priority": index,
        "Quota": 1,
        "Long Poll": "N",
        "Getworks": int(t.elapsed_s // 12) if count.used else 3,
        "Accepted": count.accepted,
        "Rejected": count.rejected,
        "Discarded": int(t.elapsed_s * 90) if count.used else 0,
        "Stale": count.stale,
        "Get Failures": 0,
        "Remote Failures": 0,
        "User": slot.user,
        "Last Share Time": clock_text(max(0.0, t.at_s - count.last_s)) if count.active and count.last_s else "0",
        "Diff": difficulty_text(count.difficulty) if count.used else "",
        "Diff1 Shares": 0,
        "Proxy Type": "",
        "Proxy": "",
        "Difficulty Accepted": count.accepted_work,
        "Difficulty Rejected": count.rejected_work,
        "Difficulty Stale": count.stale_work,
        "Last Share Difficulty": count.difficulty if count.used else 0.0,
        "Has Stratum": True,
        "Stratum Active": count.active,
        "Stratum URL": slot.url.split("//", 1)[-1].split(":", 1)[0] if count.active else "",
        "Has GBT": False,
        "Best Share": count.difficulty if count.used else 0.0,
        "Pool Rejected%": round(100.0 * count.rejected / found, 4) if found else 0.0,
        "Pool Stale%%": 0.0,
    }
