"""The report for people says what the rows say, in the terminal, on the page and after JSON."""

from __future__ import annotations

from io import StringIO
from xml.etree import ElementTree as ET

import msgspec
from rich.console import Console

from stream.experiments.page import outcomes, report_page
from stream.experiments.rows import report
from stream.experiments.tally import Key, Sums, Tally
from stream.reporting.table import terminal

SVG = "{http://www.w3.org/2000/svg}"


def group(
    rule: str, arm: str, exposed: int, share: float, *, version: int = 1, channel: str = "email", tier: str = "low"
) -> Tally:
    """Some customers, of whom a share bought for 50 or 150; each action costs 12."""
    bought = int(exposed * share)
    money, squares = 10_000 * bought, (5_000**2 + 15_000**2) // 2 * bought
    treated = 0 if arm == "control" else exposed
    return Tally(
        Key(rule, version, arm, channel, tier),
        Sums(exposed, bought, bought, money, str(squares), treated, 12 * treated),
    )


TALLIES = [
    group("cart.abandoned", "default", 30_000, 0.13), group("cart.abandoned", "control", 10_000, 0.10),
    group("recall.60d", "plain", 9_000, 0.05), group("recall.60d", "gift", 9_000, 0.08, channel="sms", tier="high"),
    group("recall.60d", "control", 6_000, 0.05, tier="high"),
    group("recall.60d", "plain", 700, 0.06, version=0), group("recall.60d", "control", 300, 0.05, version=0),
    group("review.request", "default", 20_000, 0.07), group("review.request", "control", 20_000, 0.08),
    group("festival", "default", 300_000, 0.1), group("festival", "control", 300_000, 0.1),
    group("welcome <b>", "default", 90, 0.2), group("welcome <b>", "control", 10, 0.1),
    group("thanks", "default", 500, 0.3),
]  # fmt: skip


def test_the_page_is_the_same_from_rows_and_from_their_json() -> None:
    """Infinite ends are ``null`` in JSON; the page is the same to the byte, and whole."""
    found = report(TALLIES)
    page = report_page(found, "EUR")

    assert page == report_page(msgspec.json.decode(msgspec.json.encode(report(TALLIES[::-1]))), "EUR")
    assert "Rules" in (ET.fromstring(page.removeprefix("<!DOCTYPE html>\n")).findtext(".//caption") or "")


def test_every_judged_rule_is_drawn_with_its_verdict() -> None:
    """Colours and words agree; who has no hold-out is only counted; an earlier version stands apart."""
    root = ET.fromstring(report_page(report(TALLIES), "EUR").removeprefix("<!DOCTYPE html>\n"))
    uplift = root.findall(f".//{SVG}svg")[0]
    tones = {
        (group.findtext(f"{SVG}title") or "").split(":")[0]: group.attrib["class"]
        for group in uplift.findall(f"{SVG}g[@class]")
    }
    tables = {table.findtext("caption"): table for table in root.iter("table")}
    newest = {(row[0].text, row[1].text): row[-1].text for row in tables["Rules by arm"].iterfind("tbody/tr")}

    assert {
        "cart.abandoned v1": "tone good", "recall.60d v1 · plain": "tone quiet", "recall.60d v1 · gift": "tone good",
        "review.request v1": "tone bad", "festival v1": "tone bad", "welcome <b> v1": "tone quiet",
    } == tones  # fmt: skip
    assert (newest["cart.abandoned v1", "default"] or "").startswith("works: ")
    assert (newest["festival v1", "default"] or "").startswith("no effect: ")
    assert not newest["thanks v1", "default"]
    assert ("recall.60d v0", "plain") not in newest
    assert 2 == len(tables["By rule, version and arm"].findall("tbody/tr"))


def test_money_is_shown_only_where_it_is_known() -> None:
    """The small rule has no interval of money, and a shop with none but such has a sentence instead of a chart."""
    root = ET.fromstring(report_page(report(TALLIES), "JPY").removeprefix("<!DOCTYPE html>\n"))
    extra = next(
        svg for svg in root.iter(f"{SVG}svg") if (svg.findtext(f"{SVG}title") or "").startswith("Revenue that")
    )

    assert "welcome" not in (extra.findtext(f"{SVG}desc") or "")
    assert "cart.abandoned v1: +JPY 9,000,000" in (extra.findtext(f"{SVG}desc") or "")
    assert "No rule has enough customers yet" in report_page(report(TALLIES[11:13]), "JPY")


def test_parts_are_compared_within_a_rule() -> None:
    """Rules with different hold-outs are never added up: that would show effects that none of them has."""
    root = ET.fromstring(report_page(report(TALLIES), "EUR").removeprefix("<!DOCTYPE html>\n"))
    spoken = {svg.findtext(f"{SVG}title"): svg.findtext(f"{SVG}desc") or "" for svg in root.iter(f"{SVG}svg")}

    assert "recall.60d v1 · email: treated 5.0 %, left alone 5.0 %" in spoken["By channel"]
    assert "recall.60d v1 · sms: treated 8.0 %, left alone –" in spoken["By channel"]
    assert "recall.60d v1 · high: treated 8.0 %, left alone 5.0 %" in spoken["By tier"]


def test_the_terminal_has_the_table_of_the_page() -> None:
    """Names, shares and verdicts."""
    console = Console(width=150, record=True, file=StringIO())
    console.print(terminal(outcomes(report(TALLIES)["experiments"], "EUR")))
    shown = console.export_text()

    assert all(
        word in shown for word in ("cart.abandoned v1", "left alone", "works:", "harms:", "too early to say:", "13.0 %")
    )


def test_a_shop_without_outcomes_has_a_page() -> None:
    """Before the first window is over."""
    assert "What the rules change" in report_page(report([]), "USD")
