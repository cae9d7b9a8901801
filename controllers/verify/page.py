"""The report as a page: one HTML file that needs nothing else, to be read, printed and filed.

Everything in it follows from the report's content, which stands in it whole, so that a page can be compared with the one
that its content gives. Whatever a machine, a person or a site file says is escaped; the page has no script that runs, no
address that is fetched, and a policy that forbids both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from controllers.verify.report import MachineReport, Report, digest_of
from policies.proof import COUNTED_BY

_OPEN, _CLOSE = '<script type="application/json" id="report">', "</script>"
_SCALE_LEAST, _SCALE_MOST = 0.70, 1.10
_ENDED: Final = {
    "verdicts": "every machine had its verdict",
    "time": "its time was over",
    "stopped": "it was stopped",
    "under way": "it was still under way",
}
_VERDICTS: Final = {
    "short": ("short", "delivers less than it claims"),
    "honest": ("honest", "delivers what it claims"),
    "untested": ("undecided", "no verdict in this time"),
}
_STYLE: Final = Path(__file__).with_name("page.css").read_text(encoding="utf-8").strip()


def page(report: Report) -> str:
    """The page of a report."""
    title = f"Hash rate check of {report.scope}, {report.site}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        *_head(report),
        *_tiles(report),
        *_table(report),
        *_notes(report),
        *_machines(report),
        *_method(report),
        *_proof(report),
        "</main>",
        f"{_OPEN}{_embedded(report)}{_CLOSE}",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def content_of(text: str) -> str | None:
    """The report's JSON in a page; None where there is none."""
    begin = text.rfind(_OPEN)
    end = text.find(_CLOSE, begin)
    return text[begin + len(_OPEN) : end] if begin >= 0 and end >= 0 else None


def _embedded(report: Report) -> str:
    """The report as JSON that no HTML reader takes for markup."""
    text = json.dumps(report.model_dump(mode="json"), separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _head(report: Report) -> Iterable[str]:
    yield f"<h1>Hash rate check: {escape(report.scope)}</h1>"
    yield f'<div class="soft">site {escape(report.site)} · {_time(report.began_s)} to {_time(report.ended_s)} UTC</div>'
    if report.simulated:
        yield '<p class="warn"><b>Simulated.</b> The site is a pretend one: nothing here is true of a real machine.</p>'
    if report.partial:
        yield (
            '<p class="warn"><b>Partial.</b> The check was ended before its time and before every machine had its verdict. '
            "The intervals hold all the same; a missing verdict says nothing.</p>"
        )
    why = f": {escape(report.why)}" if report.why else ""
    facts = {
        "asked for by": f"{escape(report.asked_by)}{why}",
        "planned": _duration(report.planned_s),
        "took": f"{_duration(report.ended_s - report.began_s)}; {_ENDED[report.ended]}",
        "machines": str(len(report.machines)),
        "check": f"<code>{escape(report.id)}</code>",
    }
    yield '<dl class="facts">' + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items()) + "</dl>"


def _tiles(report: Report) -> Iterable[str]:
    yield '<div class="tiles">'
    for verdict, (name, meaning) in _VERDICTS.items():
        count = report.verdicts.get(verdict, 0)
        strong = f' class="{verdict}"' if count else ""
        yield f'<div class="tile"><b{strong}>{count}</b>{name}<div class="soft small">{meaning}</div></div>'
    yield "</div>"


def _table(report: Report) -> Iterable[str]:
    yield "<h2>What each machine delivers of its claim</h2>"
    short = 1.0 - report.method.shortfall
    yield (
        f'<p class="soft small">The bar is the {100 * report.method.confidence:.0f} % interval, the tick what was counted; '
        f"the scale goes from {100 * _SCALE_LEAST:.0f} to {100 * _SCALE_MOST:.0f} %. The solid line is the claim, "
        f"the dashed one {100 * short:.1f} % of it, at which a machine is to be found.</p>"
    )
    heads = ("machine", "claims, TH/s", "delivers", "interval", "", "shares", "expected", "counted by", "verdict")
    right = {1, 2, 5, 6}
    yield (
        "<table><thead><tr>"
        + "".join(f"<th{' class=n' if i in right else ''}>{head}</th>" for i, head in enumerate(heads))
        + "</tr></thead><tbody>"
    )
    for machine in report.machines:
        count = machine.spoken
        cells = (
            f"<b>{escape(machine.machine)}</b><div class='soft small'>{escape(machine.model)}</div>",
            _number(machine.claim.mean_ths, 1),
            _percent(None if count is None else count.ratio),
            "–" if count is None or count.low is None else f"{100 * count.low:.1f} to {_percent(count.high)}",
            _bar(machine, short),
            _number(None if count is None else count.shares, 0),
            _number(None if count is None else count.expected, 0),
            "–" if machine.source is None else escape(COUNTED_BY[machine.source].partition(",")[0]),
            f'<span class="tag {machine.verdict}">{_VERDICTS[machine.verdict][0]}</span>',
        )
        yield (
            "<tr>"
            + "".join(f"<td{' class=n' if i in right else ''}>{cell}</td>" for i, cell in enumerate(cells))
            + "</tr>"
        )
    yield "</tbody></table>"


def _bar(machine: MachineReport, short: float) -> str:
    """The interval as a picture."""
    count, width, height = machine.spoken, 220, 22

    def x(ratio: float) -> str:
        inside = min(max(ratio, _SCALE_LEAST), _SCALE_MOST)
        return f"{(inside - _SCALE_LEAST) / (_SCALE_MOST - _SCALE_LEAST) * (width - 4) + 2:.1f}"

    lines = (
        f'<line x1="{x(1.0)}" x2="{x(1.0)}" y1="1" y2="{height - 1}" stroke="#1c2733"/>'
        f'<line x1="{x(short)}" x2="{x(short)}" y1="1" y2="{height - 1}" stroke="#5c6b7a" stroke-dasharray="3 2"/>'
    )
    shape = ""
    if count is not None and count.low is not None and count.high is not None and count.ratio is not None:
        colour = {"short": "#b3261e", "honest": "#1b7f4b", "untested": "#8a6d1a"}[machine.verdict]
        wide = max(float(x(count.high)) - float(x(count.low)), 1.0)
        shape = (
            f'<rect x="{x(count.low)}" y="7" width="{wide:.1f}" height="8" rx="3" fill="{colour}" fill-opacity="0.35"/>'
            f'<line x1="{x(count.ratio)}" x2="{x(count.ratio)}" y1="4" y2="18" stroke="{colour}" stroke-width="3"/>'
        )
    size = f'width="{width}" height="{height}"'
    return f'<svg {size} role="img"><rect {size} rx="4" fill="#f0f3f6"/>{lines}{shape}</svg>'


def _notes(report: Report) -> Iterable[str]:
    if report.notes:
        yield "<h2>What could not be done or told</h2>"
        yield "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>"


def _machines(report: Report) -> Iterable[str]:
    yield "<h2>The machines</h2>"
    for machine in report.machines:
        yield f"<details><summary>{escape(machine.machine)}</summary><div>"
        yield (
            '<dl class="facts">'
            + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in _facts(machine))
            + "</dl>"
        )
        yield "</div></details>"


def _facts(machine: MachineReport) -> Iterable[tuple[str, str]]:
    """What is told of one machine, as pairs of escaped text."""
    claim = machine.claim
    says = [text for text in (machine.says_model, machine.firmware) if text]
    yield "says that it is", escape(", ".join(says)) or "–"
    if machine.serial:
        yield "serial number", escape(machine.serial)
    yield "place", escape(machine.place) or "–"
    rates = f"{_number(claim.mean_ths, 2)} TH/s, {_number(claim.least_ths, 2)} to {_number(claim.most_ths, 2)}"
    yield "claimed", f"{rates}, hashing for {_duration(claim.hashing_s)} of {_duration(claim.watched_s)}"
    if machine.difficulty is not None:
        easiest, hardest = machine.difficulty
        yield "difficulty asked", f"{easiest:,.0f} to {hardest:,.0f}" if easiest != hardest else f"{easiest:,.0f}"
    for count in machine.counts:
        when = (
            "" if count.from_s is None or count.to_s is None else f", {_time(count.from_s)} to {_time(count.to_s)} UTC"
        )
        told = (
            f"{_percent(count.ratio)} ({_percent(count.low)} to {_percent(count.high)}): {count.shares:,.0f} shares of "
            f"{count.expected:,.1f} to expect{when}; {_VERDICTS[count.verdict][0]}"
        )
        yield f"by {escape(COUNTED_BY[count.source])}", told
    if machine.tap is not None:
        flawed = ", ".join(f"{n:,.0f} {cause.replace('_', ' ')}" for cause, n in machine.tap.flawed.items() if n)
        yield "at the tap", f"{machine.tap.shares:,.0f} shares credited; flawed: {escape(flawed) or 'none'}"
        if machine.tap.foreign_work:
            yield "for others", f"work of difficulty {machine.tap.foreign_work:,.0f} for workers that are not ours"
        if machine.tap.away_s:
            yield "away", _duration(machine.tap.away_s)
        if machine.tap.audit is not None:
            audit = machine.tap.audit
            told = f"{audit.get('shares_per_min', 0):.0f} shares a minute, difficulty {audit.get('difficulty', 0):,.0f}"
            yield "audit", f"{told} ({escape(str(audit.get('why', '')))})"
    if machine.log is not None:
        log = machine.log
        yield (
            "share by share",
            (
                f"{log.shares:,} of {log.records:,} headers in the file beside this report are as hard as was asked; "
                f"by themselves they say: {_VERDICTS[log.verdict][0]}"
            ),
        )
    if machine.lacks_s is not None:
        yield "would take", f"about {_duration(machine.lacks_s)} more, as it went"


def _method(report: Report) -> Iterable[str]:
    method = report.method
    yield "<h2>How it was judged</h2>"
    yield f"<p>{escape(method.test)} {escape(method.interval)}</p>"
    facts = {
        "shortfall to be found": f"{100 * method.shortfall:g} % of the claim",
        "false alarm": (
            f"with a chance of {100 * method.false_alarm:g} % at most, "
            f"{method.machines} machines and {method.sources} sources together"
        ),
        "missed": f"with a chance of {100 * method.missed:g} % at most, of a machine of just that shortfall",
        "versions": escape(", ".join(f"{name} {number}" for name, number in report.versions.items())),
    }
    yield '<dl class="facts">' + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items()) + "</dl>"


def _proof(report: Report) -> Iterable[str]:
    yield "<h2>Signed off</h2>"
    yield f'<p class="small">Digest (SHA-256 of the content): <code>{digest_of(report)}</code></p>'
    if report.share_file is not None:
        file = report.share_file
        yield (
            f'<p class="small">Share headers: <code>{escape(file.file)}</code>, {file.bytes:,} bytes, '
            f"SHA-256 <code>{escape(file.sha256)}</code>. <code>hashwatt verify --recheck</code> hashes every one again.</p>"
        )
    yield (
        f'<div class="sign"><div>{escape(report.asked_by)}<div class="soft small">asked for this check and signs it off</div>'
        '</div><div>&nbsp;<div class="soft small">date and signature</div></div></div>'
    )


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:.1f} %"
