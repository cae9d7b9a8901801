"""What systemd is told: that we are ready, and again and again that our loop still turns.

Datagrams to the socket that it names in the environment (sd_notify(3)), and nothing where it names none. A process whose
loop hangs, or that was stopped, falls silent, and is killed by its unit's WatchdogSec: the kernel then closes its
connections, and whoever waits for it knows at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress


def tell(words: str) -> None:
    """Send words such as READY=1; a socket that is not there or is full is no reason to stop, or to wait."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        # "@" stands for the zero byte of an address that is in no directory
        sender.sendto(words.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def watchdog_s() -> float | None:
    """How often systemd wants to hear from this process, in seconds; None: not at all."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(asked) / 1e6 if ours and asked.isdecimal() and int(asked) else None


async def beat() -> None:
    """Tell that this loop turns, twice as often as is wanted, until cancelled; returns at once where nobody listens."""
    every_s = watchdog_s()
    while every_s is not None:
        tell("WATCHDOG=1")
        await asyncio.sleep(every_s / 2)
