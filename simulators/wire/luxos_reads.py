"""What a LuxOS machine says of itself: the commands that change nothing.

Replies follow the captures (tests/fleet/captures/luxos, of an S19k Pro) key by key; `groups`, `tempctrl` and `atm`, of
which there is none, follow docs.luxor.tech/firmware/api.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from typing_extensions import override

from fleet.machine import SLEEP
from fleet.reading import State
from simulators.instruments import Telemetry
from simulators.unit import PoolSlot, Unit
from simulators.wire.cgminer import GHS_PER_THS, MHS_PER_THS, CgminerConversation, Reply, chains, clock_text
from simulators.wire.luxos_state import CONNECTORS, POSITIONS, LuxosState, frequency_mhz

VERSION = "2025.4.8.220305"
BUILD = f"{VERSION}-57b389c7"
COMPILED = "Tue Apr  8 22:05:35 UTC 2025"


class LuxosReads(CgminerConversation):
    """One request to a LuxOS machine, as far as it reads."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        state = unit.memory.get("luxos")
        if not isinstance(state, LuxosState):
            state = unit.memory["luxos"] = LuxosState(unit)
        self.state = state

    @override
    def describes(self) -> str:
        """The miner's name and version."""
        return f"LUXminer {BUILD}"

    def _version(self, _: str) -> Reply:
        entry = {"API": "3.7", "CompileTime": COMPILED, "LUXminer": BUILD, "Miner": VERSION}
        entry["Type"] = self.unit.machine.model
        return self.success(22, "LUXminer versions", version=[entry])

    def _summary(self, _: str) -> Reply:
        t = self.unit.telemetry()
        found = t.accepted + t.rejected
        entry = {
            "Accepted": t.accepted,
            "Best Share": int(t.share_difficulty),
            "Device Hardware%": 0.0,
            "Device Rejected%": 0.0,
            "Difficulty Accepted": int(t.accepted_work),
            "Difficulty Rejected": int(t.rejected_work),
            "Difficulty Stale": int(t.stale_work),
            "Discarded": 0,
            "Elapsed": int(t.elapsed_s),
            "Found Blocks": 0,
            "GHS 15m": round(t.rate_15m_ths * GHS_PER_THS, 2),
            "GHS 1m": round(t.rate_1m_ths * GHS_PER_THS, 2),
            "GHS 24h": round(t.rate_av_ths * GHS_PER_THS, 2),
            "GHS 30m": round(t.rate_30m_ths * GHS_PER_THS, 2),
            "GHS 5m": round(t.rate_5m_ths * GHS_PER_THS, 2),
            "GHS 5s": round(t.rate_ths * GHS_PER_THS, 2),
            "GHS av": round(t.rate_av_ths * GHS_PER_THS, 2),
            "Get Failures": 0,
            "Getworks": int(t.elapsed_s // 30),
            "Hardware Errors": t.errors,
            "Last getwork": int(t.at_s),
            "Local Work": 0,
            "Network Blocks": 0,
            "Pool Rejected%": round(100.0 * t.rejected / found, 4) if found else 0.0,
            "Pool Stale%": 0.0,
            "Rejected": t.rejected,
            "Remote Failures": 0,
            "Stale": t.stale,
            "Total MH": t.run_th * MHS_PER_THS,
            "Utility": round(60.0 * t.accepted / t.elapsed_s, 2) if t.elapsed_s > 0 else 0.0,
            "Work Utility": 0.0,
        }
        return self.success(11, "Summary", summary=[entry])

    def _stats(self, _: str) -> Reply:
        unit, t = self.unit, self.unit.telemetry()
        frequency = float(frequency_mhz(unit.machine.modes, unit.awake_mode(t)))
        entry: Reply = {"STATS": 0, "ID": "BTM_SOC0", "Calls": 0, "Wait": 0, "Max": 0, "Min": 99999999, "Mode": 2}
        entry |= chains(unit, t, t.rate_ths)
        entry["chain_rate4"] = "0"
        hottest = [round(c, 0) for c in t.board_c]
        for board in range(1, 5):
            there = board <= len(hottest)
            out, into = (int(t.board_c[board - 1]), int(_intake_c(t, board - 1))) if there else (0, 0)
            text = f"{out}-{into}-{into}-{out}"
            entry |= {f"temp_chip{board}": text, f"temp_pcb{board}": text, f"temp_pic{board}": text}
            entry[f"freq{board}"] = frequency if there and t.board_rate[board - 1] else 0.0
            entry[f"fan{board}"] = t.fans_rpm[board - 1] if board <= len(t.fans_rpm) else 0
        entry |= {f"temp{board}": hottest[board - 1] for board in (1, 2, 3)}
        entry |= {f"temp2_{board}": hottest[board - 1] for board in (1, 2, 3)}
        entry |= {
            "Elapsed": int(t.elapsed_s),
            "GHS 5s": round(t.rate_ths * GHS_PER_THS, 2),
            "GHS av": round(t.rate_av_ths * GHS_PER_THS, 2),
            "fan_num": len(t.fans_rpm),
            "frequency": int(frequency),
            "miner_count": sum(1 for share in t.board_rate if share),
            "miner_id": unit.mac.replace(":", "").lower(),
            "miner_version": VERSION,
            "no_matching_work": t.errors,
            "rate_30m": round(t.rate_30m_ths * GHS_PER_THS, 2),
            "rate_unit": "GH",
            "temp_max": max(hottest),
            "temp_num": 3,
            "total rate": round(t.rate_av_ths * GHS_PER_THS, 2),
            "total_acn": 4,
            "total_freqavg": frequency,
            "total_rateideal": round(t.ideal_ths * GHS_PER_THS, 2),
        }
        head = {"CompileTime": COMPILED, "Miner": VERSION, "Type": unit.machine.model}
        return self.success(70, "LUXminer stats", stats=[head, entry])

    def _devs(self, _: str) -> Reply:
        unit, t = self.unit, self.unit.telemetry()
        devices = [self._board(unit, t, board) for board in range(len(t.board_c))]
        return self.success(9, f"{len(devices)} ASC(s)", devs=devices)

    def _board(self, unit: Unit, t: Telemetry, board: int) -> Reply:
        share = t.board_rate[board]

        def mhs(rate_ths: float) -> float:
            return rate_ths * share * MHS_PER_THS

        accepted, rejected = int(t.accepted * share), int(t.rejected * share)
        difficulty = int(t.share_difficulty)
        return {
            "ASC": board,
            "Accepted": accepted,
            "Board": unit.hardware.board,
            "Connector": CONNECTORS[board],
            "ControllerIPVersionHex": "0x18351835",
            "ControllerIPVersionStr": "N/A",
            "Device Elapsed": int(t.elapsed_s),
            "Device Hardware%": 0,
            "Device Rejected%": 0,
            "Diff1 Work": int((t.accepted_work + t.rejected_work) * share),
            "Difficulty Accepted": int(t.accepted_work * share),
            "Difficulty Rejected": int(t.rejected_work * share),
            "Enabled": "Y",
            "Hardware Error MHS 15m": 0,
            "Hardware Errors": int(t.errors * share),
            "ID": board,
            "IsRamping": t.state == State.STARTING,
            "IsUserShutdown": t.state == State.SLEEPING,
            "Last Share Difficulty": difficulty,
            "Last Share Pool": self.unit.active_pool,
            "Last Share Time": int(t.at_s),
            "Last Valid Work": int(t.at_s),
            "MHS 15m": mhs(t.rate_15m_ths),
            "MHS 1m": mhs(t.rate_1m_ths),
            "MHS 30m": mhs(t.rate_30m_ths),
            "MHS 5m": mhs(t.rate_5m_ths),
            "MHS 5s": mhs(t.rate_ths),
            "MHS 60m": mhs(t.rate_30m_ths),
            "MHS av": mhs(t.rate_av_ths),
            "Name": "",
            "Nominal MHS": float(t.ideal_ths * MHS_PER_THS / len(t.board_c)),
            "Profile": unit.machine.modes[unit.awake_mode(t)].name,
            "Rejected": rejected,
            "SerialNumber": f"{unit.serial}B{board}",
            "Status": "Alive" if share else "Dead",
            "Temperature": round(t.board_c[board], 0),
            "Total MH": t.run_th * share * MHS_PER_THS,
            "Utility": 0,
        }

    def _pools(self, _: str) -> Reply:
        t = self.unit.telemetry()
        entries = [self._pool(t, index, slot) for index, slot in enumerate(self.unit.pools)]
        return self.success(7, f"{len(entries)} Pool(s)", pools=entries)

    def _pool(self, t: Telemetry, index: int, slot: PoolSlot) -> Reply:
        count = self.unit.pool_count(t, index)
        ours, active = index == self.unit.active_pool, count.active and t.state in (State.HASHING, State.STARTING)
        found, difficulty = count.accepted + count.rejected, int(count.difficulty)
        since_s = max(0.0, t.at_s - count.last_s) if active and count.last_s else min(t.elapsed_s, 35_999.0)
        return {
            "POOL": index,
            "URL": slot.url,
            "User": slot.user,
            "Status": "Alive" if slot.url and not count.dead else "Dead",
            "Priority": index,
            "GROUP": 0,
            "Quota": 1.0,
            "Accepted": count.accepted,
            "Rejected": count.rejected,
            "Stale": count.stale,
            "AsicBoost": True,
            "Bad Work": 0,
            "Best Share": difficulty,
            "Current Block Height": 0,
            "Current Block Version": 536870912 if ours else 0,
            "Diff": f"{difficulty // 1000}K" if difficulty >= 1000 else f"{difficulty}",
            "Diff1 Shares": int(count.accepted_work + count.rejected_work),
            "Difficulty Accepted": int(count.accepted_work),
            "Difficulty Rejected": int(count.rejected_work),
            "Difficulty Stale": int(count.stale_work),
            "Discarded": 0,
            "Get Failures": 0,
            "Getworks": int(t.elapsed_s // 30) if ours else 0,
            "Has GBT": False,
            "Has Stratum": True,
            "Has Vmask": True,
            "Last Share Difficulty": difficulty,
            "Last Share Time": f"0{clock_text(since_s)}",
            "Long Pool": "N",
            "Pool Rejected%": round(100.0 * count.rejected / found, 4) if found else 0.0,
            "Pool Stale%": 0.0,
            "Proxy": "",
            "Proxy Type": "",
            "Remote Failures": 0,
            "Stratum Active": active,
            "Stratum Difficulty": difficulty,
            "Stratum URL": slot.url.split("//", 1)[-1],
            "Work Difficulty": difficulty,
            "Works": 0,
        }

    def _fans(self, _: str) -> Reply:
        t = self.unit.telemetry()
        fans = [
            {"FAN": f"FAN{i + 1}", "ID": i, "RPM": rpm, "Speed": int(100 * t.fan_speed)}
            for i, rpm in enumerate(t.fans_rpm)
        ]
        return self.success(202, f"{len(fans)} Fan(s)", fans=fans, fanctrl=[{"MinFans": 3, "PowerOffSpeed": 20}])

    def _temps(self, _: str) -> Reply:
        t = self.unit.telemetry()
        temps = [
            {
                "ID": board,
                "TEMP": board,
                "TopLeft": round(out, 0),
                "BottomLeft": round(out, 0),
                "TopRight": round(_intake_c(t, board), 0),
                "BottomRight": round(_intake_c(t, board), 0),
            }
            for board, out in enumerate(t.board_c)
        ]
        labels = {name: {"Label": label, "Position": at} for name, (label, at) in POSITIONS.items()}
        return self.success(201, f"{len(temps)} Temp(s)", temps=temps, metadata=[labels])

    def _power(self, _: str) -> Reply:
        watts = round(self.unit.telemetry().power_w)
        return self.success(311, "Power usage", power=[{"PSU": False, "Watts": watts}])

    def _profiles(self, _: str) -> Reply:
        modes = self.unit.machine.modes
        usual = self.unit.machine.mode_named(self.unit.machine.usual)
        current = self.unit.awake_mode(self.unit.telemetry())
        entries = [
            {
                "Profile Name": mode.name,
                "Step": str(column - usual),
                "Frequency": frequency_mhz(modes, column),
                "Voltage": round(13.5 + 0.15 * (column - usual), 2) if column != usual else 13.5,
                "Hashrate": float(mode.hashrate_ths),
                "Watts": round(mode.power_w),
                "IsTuned": column == current,
                "IsDynamic": True,
                "CanRestore": True,
                "HasOverrides": False,
            }
            for column, mode in enumerate(modes)
            if column != SLEEP
        ]
        return self.success(323, "List profiles", profiles=entries)

    def _config(self, _: str) -> Reply:
        unit, t = self.unit, self.unit.telemetry()
        modes, column = unit.machine.modes, unit.awake_mode(t)
        usual = unit.machine.mode_named(unit.machine.usual)
        asleep = t.target == SLEEP
        entry = {
            "ASC Count": len(t.board_c),
            "BcastAddr": "127.255.255.255",
            "ControlBoardType": "cvitek",
            "Cooling": "Air",
            "CurtailMode": "Sleep" if asleep else "None",
            "DHCP": True,
            "DNS Servers": "",
            "Device Code": "",
            "FPGABuildIdHex": "0x18351835",
            "FPGABuildIdStr": "2018-35-18 35:00",
            "FeeStatus": "Ok",
            "Gateway": "127.0.0.1",
            "GreenLed": "auto",
            "Hostname": unit.hostname,
            "Hotplug": "None",
            "IPAddr": unit.machine.host,
            "ImmersionMode": False,
            "IsAtmEnabled": self.state.atm,
            "IsPowerSupplyOn": not asleep,
            "IsSingleVoltage": True,
            "IsTuning": t.state == State.STARTING,
            "Log Interval": 0,
            "LogFileLevel": "info",
            "MACAddr": unit.mac.lower(),
            "Model": unit.machine.model,
            "NameplateTHS": float(modes[usual].hashrate_ths),
            "Netmask": "255.0.0.0",
            "OS": "LuxOS",
            "PGA Count": 0,
            "PSUHwVersion": "75",
            "PSULabel": "APW121215e",
            "Pool Count": len(unit.pools),
            "Profile": modes[column].name,
            "ProfileStep": str(column - usual),
            "RedLed": "blink" if unit.light else "auto",
            "SerialNumber": unit.serial,
            "Strategy": "Failover",
            "SystemStatus": "Fault" if t.state == State.FAULTED else "Normal",
            "UpdateOnStartup": "off",
            "UpdateOnTimeout": "off",
            "UpdateOnUser": "full",
            "UpdateSource": "https://storage.googleapis.com/luxor-firmware/stable",
            "UpdateTimeout": 60,
        }
        return self.success(33, "LUXminer config", config=[entry])

    def _events(self, _: str) -> Reply:
        t = self.unit.telemetry()
        events = [
            {
                "Code": "REBOOT_NOT_HASHING",
                "CreatedAt": "2026-01-01T00:00:00+00:00",
                "Description": "Board reboot due to it not hashing.",
                "DocUrl": "https://docs.luxor.tech/firmware/kb/eventstroubleshooting#reboot-not-hashing",
                "ID": board,
                "Target": "BOARD",
            }
            for board, share in enumerate(t.board_rate)
            if not share
        ]
        return self.success(357, "Miner Events", events=events)

    def _groups(self, _: str) -> Reply:
        return self.success(324, "List groups", groups=[{"GROUP": 0, "Name": "default", "Quota": 1.0}])

    def _tempctrl(self, _: str) -> Reply:
        limits = {"ChipDangerous": 100, "ChipHot": 90, "Dangerous": 80, "Hot": 75, "Mode": "Automatic", "Target": 65}
        return self.success(206, "Temperature control", tempctrl=[limits])

    def _atm(self, _: str) -> Reply:
        entry = {
            "ChipTempWindow": 8.0,
            "Enabled": self.state.atm,
            "MaxProfile": self.unit.machine.usual,
            "MaxProfileStep": "0",
            "MinProfile": "",
            "PostRampMinutes": 15,
            "StartupMinutes": 15,
            "TempWindow": 5.0,
            "WaterInletTempWindow": 7.0,
        }
        return self.success(339, "ATM configuration values", atm=[entry])

    def _voltage(self, parameter: str) -> Reply:
        board = int(parameter) if parameter in {"0", "1", "2"} else 0
        return self.success(307, "Get Voltage", voltage=[{"Board": board, "Voltage": 13.5}])

    def _session(self, _: str) -> Reply:
        return self.success(319, "Session information", session=[{"SessionID": self.state.live_session()}])

    READS: ClassVar[dict[str, Callable[[Any, str], Reply]]] = {
        "version": _version,
        "summary": _summary,
        "stats": _stats,
        "devs": _devs,
        "pools": _pools,
        "fans": _fans,
        "temps": _temps,
        "power": _power,
        "profiles": _profiles,
        "config": _config,
        "events": _events,
        "groups": _groups,
        "tempctrl": _tempctrl,
        "atm": _atm,
        "voltageget": _voltage,
        "session": _session,
    }


def _intake_c(t: Telemetry, board: int) -> float:
    """The board's cool side."""
    return t.ambient_c + (t.board_c[board] - t.ambient_c) / 3.0
