"""``winback customer``: one customer as a running worker knows them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import click
import orjson
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream.environment import read_settings
from stream.errors import TransientError, WinbackError
from stream.events.money import amount_text

PATIENCE_SECONDS = 10.0
"""Longest wait for a worker's answer. It answers in milliseconds, or between two long steps."""

# Workers are asked directly, whatever proxy the environment names for the world outside.
_open = build_opener(ProxyHandler({})).open


class UnknownCustomer(WinbackError):
    """No worker that was asked knows this customer."""

    operator_action: ClassVar[str] = "check the id: it is the events' userId, or anon: and their anonymousId"


class ServedElsewhere(WinbackError):
    """Another worker serves the customer's partition."""

    operator_action: ClassVar[str] = "name that worker with --url, or all of them: --url may be repeated"


class WorkerAway(TransientError):
    """No worker answers, or not with what was asked."""

    operator_action: ClassVar[str] = "start one with `winback worker` (or `winback demo`), or name it with --url"


@click.command(short_help="Look a customer up on a running worker.")
@click.argument("customer_id", metavar="ID")
@click.option("--url", "urls", multiple=True, metavar="URL",
              help="Where a worker answers; may be repeated.  [default: http://127.0.0.1: and setting `web_port`]")  # fmt: skip
@click.option("--token", help="The worker's token.  [default: setting `web_token`]")
@click.option("--json", "as_json", is_flag=True, help="Print the worker's answer as one JSON object.")
def customer(customer_id: str, urls: tuple[str, ...], token: str | None, as_json: bool) -> None:
    """Show what is known of the customer ID: orders, rhythm, tier, risk of leaving with its reasons, cart, last activity.

    With several workers each customer is served by one of them: give all their addresses, the right one is found.

    \b
    Examples:
      winback customer C-000042
      winback customer anon:d-71fa20e4b1 --json
      winback customer 4711 --url http://10.0.0.5:6066 --url http://10.0.0.6:6066 --token s3cret
    """
    settings = read_settings({"web_token": token}, os.environ)
    found = look_up(customer_id, urls or (f"http://127.0.0.1:{settings.web_port}",), settings.web_token)
    if as_json:
        click.echo(orjson.dumps(found))
    else:
        Console().print(card(found))


def look_up(customer_id: str, urls: Iterable[str], token: str = "") -> dict[str, Any]:
    """The customer as the worker that serves them has it.

    Raises:
        UnknownCustomer: the worker that would serve them has never heard of them.
        ServedElsewhere: they belong to a worker that was not asked.
        WorkerAway: no worker answered.
    """
    elsewhere: list[str] = []
    away: list[str] = []
    for url in urls:
        status, answer = ask(f"{url.rstrip('/')}/customers/{quote(customer_id, safe='')}", token)
        if status == 200:
            return answer
        said = str(answer.get("error", ""))
        if status == 404 and said:
            raise UnknownCustomer(f"the worker at {url} has no customer {customer_id!r}")
        if status == 421:
            elsewhere.append(f"{url} serves partitions {answer['partitions_here']}, not {answer['partition']}")
        elif status == 503:
            away.append(f"{url} is not ready: {'; '.join(answer.get('reasons', [])) or said}")
        elif status == 401:
            away.append(f"{url} asks for a token, and this is not it (--token, WINBACK_WEB_TOKEN)")
        else:
            away.append(f"{url}: {said or f'it answers {status}, as no Winback worker does'}")
    if away:
        raise WorkerAway("\n  ".join([f"customer {customer_id!r} could not be looked up", *away, *elsewhere]))
    raise ServedElsewhere("\n  ".join([f"customer {customer_id!r} is served by another worker", *elsewhere]))


def ask(url: str, token: str) -> tuple[int, dict[str, Any]]:
    """Status and content; status 0 with the reason when nobody answers."""
    if not url.startswith(("http://", "https://")):
        return 0, {"error": "an address begins with http:// or https://"}
    request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with _open(request, timeout=PATIENCE_SECONDS) as response:
            return response.status, _content(response.read())
    except HTTPError as error:
        return error.code, _content(error.read())
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        return 0, {"error": f"nobody answers ({getattr(reason, 'strerror', None) or reason})"}


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


# -- the card


def card(customer: Mapping[str, Any]) -> Panel:
    """One customer for people. What isn't known isn't shown."""
    head = Text.assemble((customer["tier"], TIER_STYLE.get(customer["tier"], "")), "  ", customer["segment"] or "")
    rfm = customer["rfm"]
    if rfm["r"] is not None:
        head.append(f"  R{rfm['r']} F{rfm['f']} M{rfm['m']}", style="dim")
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    for name, text in _rows(customer):
        rows.add_row(name, text)
    return Panel(
        Group(head, "", _windows(customer), "", rows), title=f"[bold]{_safe(customer['customer_id'])}", title_align="left",
        subtitle=f"as of {_instant(customer['as_of'])}", subtitle_align="right", expand=False, padding=(0, 1),
    )  # fmt: skip


TIER_STYLE = {"high": "green", "medium": "cyan", "low": "yellow", "lost": "red", "prospect": "dim"}


def _windows(customer: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    windows = {f"{days} days": window for days, window in customer["windows"].items()} | {"ever": customer["lifetime"]}
    for name in windows:
        table.add_column(name, justify="right")
    table.add_row("orders", *(f"{window['frequency']:,}" for window in windows.values()))
    currency = customer["currency"]
    table.add_row(
        f"worth {currency}", *(amount_text(window["monetary_minor"], currency) for window in windows.values())
    )
    return table


def _rows(customer: Mapping[str, Any]) -> list[tuple[str, str | Text]]:
    rows: list[tuple[str, str | Text]] = []
    if customer["last_purchase_at"]:
        first = f", first on {customer['first_purchase_at'][:10]}"
        rows.append(
            ("last order", f"{_instant(customer['last_purchase_at'])}, {_days(customer['recency_days'])} ago{first}")
        )
    if customer["cycle_days"]:
        rhythm = f"every {customer['cycle_days']:g} days, give or take {customer['cycle_spread_days']:g}"
        rows.append(("rhythm", f"{rhythm}; next expected on {(customer['expected_next_purchase_at'] or '–')[:10]}"))
    rows.append(("churn risk", _risk(customer)))
    worth = customer["lifetime_value"]
    if worth["next_12_months_minor"] is not None:
        money = amount_text(worth["next_12_months_minor"], customer["currency"])
        how = f"{worth['purchases_12_months']:.1f} purchases in the next 12 months"
        rows.append(("worth", f"{money} {customer['currency']} expected, by {how}"))
    cart = customer["cart"]
    if cart["items"]:
        worth = amount_text(cart["value_minor"], customer["currency"])
        rows.append(("cart", f"{cart['items']} articles worth {worth} {customer['currency']}"))
    if customer["last_activity_at"]:
        seen = f"{customer['views_30d']} product views on {_days(customer['active_days_30d'])} of the last 30"
        rows.append(("last activity", f"{_instant(customer['last_activity_at'])}; {seen}"))
    said = [f"NPS {customer['last_nps']}"] if customer["last_nps"] is not None else []
    said += [f"rating {customer['last_rating']:g} of 5"] if customer["last_rating"] else []
    said += [f"{customer['open_complaints']} open complaints"] if customer["open_complaints"] else []
    if said:
        rows.append(("has said", ", ".join(said)))
    if customer["next_products"]:
        named = (f"{p['product_id']} ({_WHY[p['how']]})" for p in customer["next_products"])
        rows.append(("may buy next", Text(", ".join(named))))
    if customer["consent"]:
        words = (
            f"{'any channel' if c == '*' else c} {'yes' if yes else 'no'}" for c, yes in customer["consent"].items()
        )
        rows.append(("may be contacted", ", ".join(words)))
    return rows


_WHY = {"again": "again", "next": "bought next", "together": "goes along", "popular": "popular"}


def _risk(customer: Mapping[str, Any]) -> Text:
    """The score in words, with whatever reasons the worker gives."""
    probability, why_not = customer["churn_probability"], customer["churn_abstained"]
    if probability is None:
        return Text(why_not or "unknown")
    text = Text(f"{probability:.0%}", style="bold")
    text.append(f" by the model of {customer['model_day']}", style="dim")
    if why_not:
        text.append(f"; not to be acted upon: {why_not}", style="yellow")
    for reason in customer.get("churn_reasons") or ():
        arrow = ("▲", "red") if reason["log_odds"] > 0 else ("▼", "green")
        text.append("\n").append(*arrow).append(f" {reason['text'] or reason['feature']}")
    return text


def _safe(text: str) -> str:
    return text.replace("[", "\\[")


def _instant(text: str) -> str:
    """An instant as people read it.

    >>> _instant("2026-11-22T10:15:30.123Z")
    '2026-11-22 10:15 UTC'
    """
    return f"{text[:10]} {text[11:16]} UTC"


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"
