"""The report: every byte of its content is under its digest, and its page is a whole page that runs and fetches nothing."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from controllers.verify.page import content_of, page
from controllers.verify.report import Report, canonical, digest_of
from tests.controllers.verify.checked import HOSTILE, written

VOID = {"meta", "line", "rect", "br"}


class Tags(HTMLParser):
    """Every tag opened and closed in its turn; attributes and text by the way."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.scripts: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag == "script":
            self.scripts.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report of a cheat and an honest machine."""
    made, _ = written(tmp_path_factory.mktemp("report"))
    return made


def test_the_digest_is_of_the_canonical_json(report: Report) -> None:
    """A digest that nobody else can compute: SHA-256 of sorted, tight, UTF-8 JSON without the digest."""
    values = json.loads(report.in_json())
    told = values.pop("digest")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(text).hexdigest() == told == report.digest
    assert text == canonical(report)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all plain values."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, (*path, i))]
    return [path]


def other(value: Any) -> Any:
    """A value that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"{value}x"
    return 1.0 if value is None else value + 1


def test_every_value_is_under_the_digest(report: Report) -> None:
    """A verdict, a name or a note that can be altered and nobody sees."""
    values = report.model_dump(mode="json")
    for path in leaves(values):
        if path == ("digest",):
            continue
        changed = json.loads(json.dumps(values))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = other(place[path[-1]])
        try:
            altered = Report.model_validate(changed)
        except ValueError:
            continue  # not even a report any more
        assert digest_of(altered) != report.digest, path


def test_the_page_is_whole_and_stands_alone(report: Report) -> None:
    """A page that breaks on what a machine calls itself, runs it, or tells another server that it was read."""
    text = page(report)
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert tags.scripts == [{"type": "application/json", "id": "report"}]
    names = {name for name, _ in tags.attributes}
    assert not names & {"src", "href", "srcset", "action", "background", "poster", "data"}
    assert not {name for name in names if name.startswith("on")}
    assert "url(" not in text
    assert "@import" not in text
    assert re.search(r"https?://", text) is None
    assert "default-src 'none'" in text
    shown = " ".join(tags.text)
    assert HOSTILE in shown
    assert "<script>alert" not in text
    for wanted in ("m0", "m1", "short", "honest", "80.0 %", report.digest, "ann", "a hunch", "report.shares"):
        assert wanted in shown, wanted


def test_whatever_is_said_is_shown_as_it_is(report: Report) -> None:
    """A name, a place, a note or a cause that is markup: of each text in turn, the page stays whole and shows the words."""
    values, chosen = report.model_dump(mode="json"), {"source", "verdict", "ended"}
    for path in leaves(values):
        place = values
        for key in path[:-1]:
            place = place[key]
        if not isinstance(place[path[-1]], str) or path[-1] in chosen:
            continue
        kept, place[path[-1]] = place[path[-1]], HOSTILE
        text = page(Report.model_validate(values))
        place[path[-1]] = kept
        tags = Tags()
        tags.feed(text)
        tags.close()
        assert (tags.open, len(tags.scripts)) == ([], 1), path
        assert "<script>alert" not in text, path


def test_the_page_carries_the_report(report: Report) -> None:
    """A page and a JSON that tell two different stories."""
    content = content_of(page(report))
    assert content is not None
    again = Report.model_validate_json(content)
    assert again == report
    assert page(again) == page(report)
    assert digest_of(again) == report.digest


def test_what_a_machine_says_is_no_longer_than_anybody_reads(report: Report) -> None:
    """A serial number of a megabyte in every report."""
    assert len(report.machines[0].serial or "") == 200


def test_json_and_page_have_the_shape_that_is_documented(report: Report, tmp_path: Path) -> None:
    """A report without what the reader needs: who, when, what was counted, what was expected, how sure, what for."""
    machine = report.machines[0]
    assert (report.asked_by, report.why, report.ended, report.partial) == ("ann", "a hunch", "verdicts", False)
    assert report.verdicts == {"untested": 0, "honest": 1, "short": 1}
    assert report.method.machines == 2
    assert machine.claim.mean_ths == pytest.approx(130.0)
    assert machine.difficulty == (65_536.0, 65_536.0)
    assert machine.spoken is not None
    assert machine.spoken.source == "tap"
    assert {count.source for count in machine.counts} == {"counters", "tap"}
    assert machine.log is not None
    assert machine.log.shares == machine.log.records == int(machine.spoken.shares)
    assert machine.log.verdict == "short"
