"""A second reading of the contract for incoming messages, as plain as it can be: parsed JSON in, an event or what is wrong out.

It shares no code with the codec. A message may have several faults; the codec tells the first that it meets, so this
gives them all: the set of (reason, field) of the first step that fails. It reads objects that are well-formed JSON; how
broken bytes are told apart is tested by examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from stream.events import kinds

Faults = set[tuple[str, str]]
Check = Callable[[Any, str], Faults]
FIRST_MS, LAST_MS = 631_152_000_000, 7_258_118_400_000  # 1990 and 2200
DAY_MS = 86_400_000


class Wrong(Exception):
    """Faults were found."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__(faults)
        self.faults = set(faults)


# -- what a value must be


def text(most: int, least: int = 0) -> Check:
    """A text of so many characters."""

    def check(value: Any, path: str) -> Faults:
        if not isinstance(value, str):
            return {("wrong_type", path)}
        return set() if least <= len(value) <= most else {("value_out_of_range", path)}

    return check


def whole(low: int, high: int) -> Check:
    """An integer within bounds; 3.0 is none."""

    def check(value: Any, path: str) -> Faults:
        if type(value) is not int:
            return {("wrong_type", path)}
        return set() if low <= value <= high else {("value_out_of_range", path)}

    return check


def amount(value: Any, path: str) -> Faults:
    """Money as a number below 10**15."""
    if type(value) not in (int, float):
        return {("wrong_type", path)}
    if value < 0:
        return {("negative_money", path)}
    return {("money_out_of_range", path)} if value >= 10**15 else set()


def boolean(value: Any, path: str) -> Faults:
    """True or false, nothing like it."""
    return set() if type(value) is bool else {("wrong_type", path)}


def text_or_number(value: Any, path: str) -> Faults:
    """What ``rating`` may be."""
    return set() if type(value) in (int, float, str) else {("wrong_type", path)}


def instant(value: Any, path: str) -> Faults:
    """RFC 3339, for now also without a zone."""
    if not isinstance(value, str):
        return {
            ("bad_time" if path in ("$.timestamp", "$.time", "$.data.timestamp", "$.data.time") else "wrong_type", path)
        }
    return set() if ms_of(value) is not None else {("bad_time", path)}


def table(fields: dict[str, Check], needed: str = "") -> Check:
    """An object whose known fields are null or right; ``needed`` may be neither null nor missing."""

    def check(value: Any, path: str) -> Faults:
        if not isinstance(value, dict):
            return {("wrong_type", path)}
        faults: Faults = set()
        for name, item in value.items():
            if name in fields and not (item is None and name not in (needed, "type", "consent_channel")):
                faults |= fields[name](item, f"{path}.{name}")
        return faults or ({("missing_field", f"{path}.{needed}")} if needed and needed not in value else set())

    return check


def products(value: Any, path: str) -> Faults:
    """A list of products."""
    if not isinstance(value, list):
        return {("wrong_type", path)}
    return {fault for at, item in enumerate(value) for fault in table(PRODUCT)(item, f"{path}[{at}]")}


def consents(value: Any, path: str) -> Faults:
    """Up to 32 channels with yes or no. What is wrong inside is told of the place as a whole."""
    if not isinstance(value, dict):
        return {("wrong_type", path)}
    faults: Faults = {("value_out_of_range", path)} if len(value) > 32 else set()
    faults |= {("value_out_of_range", path.rsplit(".", 1)[0]) for name in value if len(name) > 64}
    return faults | {("wrong_type", f"{path}[...]") for item in value.values() if type(item) is not bool}


ID, WORD, OPTIONAL_ID, LONG = text(256, 1), text(64), text(256), text(10_000)
PRODUCT = {
    "product_id": OPTIONAL_ID,
    "sku": OPTIONAL_ID,
    "name": LONG,
    "category": OPTIONAL_ID,
    "price": amount,
    "quantity": whole(0, 1_000_000),
}
ORDER = dict.fromkeys(("revenue", "total", "discount"), amount) | {
    "order_id": ID,
    "currency": WORD,
    "coupon": OPTIONAL_ID,
    "affiliation": OPTIONAL_ID,
    "products": products,
}
VIEW = PRODUCT | {"product_id": ID, "currency": WORD}
CART = {"currency": WORD, "products": products}
REFUND = {"order_id": ID, "revenue": amount, "total": amount, "currency": WORD}
REVIEW = {"product_id": OPTIONAL_ID, "rating": text_or_number, "review_body": LONG}
ACTIVITIES = ["Product List Viewed", "Product Clicked", "Session Started", "Application Opened", "Signed In"]
ACTIVITIES += ["Checked In", "Feature Used", "Support Contacted", "Referral Converted"]
OUTCOMES = ["Delivered", "Opened", "Clicked", "Converted", "Unsubscribed", "Bounced"]

PROPERTIES: dict[str, tuple[dict[str, Check], str]] = {
    "Order Completed": (ORDER, ""),
    "Order Updated": (ORDER, ""),
    "Order Refunded": (REFUND, "order_id"),
    "Order Cancelled": ({"order_id": ID}, "order_id"),
    "Product Viewed": (VIEW, ""),
    "Product Added": (VIEW, ""),
    "Product Removed": (VIEW, ""),
    "Products Searched": ({"query": LONG}, ""),
    "Cart Viewed": (CART, ""),
    "Checkout Started": (CART, ""),
    "Product Reviewed": (REVIEW, ""),
    "NPS Submitted": ({"score": whole(0, 10)}, "score"),
    "CSAT Submitted": ({"score": whole(1, 5)}, "score"),
    "Complaint Opened": ({"complaint_id": ID}, "complaint_id"),
    "Complaint Resolved": ({"complaint_id": ID}, "complaint_id"),
    "Consent Changed": ({"granted": boolean, "consent_channel": WORD}, "granted"),
    **{name: ({}, "") for name in ACTIVITIES},
    **{f"Action {name}": ({"action_id": ID}, "action_id") for name in OUTCOMES},
    "Action Converted": ({"action_id": ID, "order_id": ID, "revenue": amount, "currency": WORD}, "action_id"),
}
"""By event name: the fields that are read, and the one that must be there."""
ENVELOPE: dict[str, Check] = {
    **{name: text(10**9) for name in ("type", "event", "specversion", "id", "subject")},
    **dict.fromkeys(("userId", "anonymousId", "previousId", "messageId"), OPTIONAL_ID),
    **dict.fromkeys(("timestamp", "sentAt", "receivedAt", "originalTimestamp", "time"), instant),
}
TRAITS = dict.fromkeys(
    ("region", "language", "locale", "timezone", "birthday", "level", "membership_expires", "referred_by"), WORD
) | {
    "address": table({"country": WORD}),
    "consent": consents,
}


# -- reading


def ms_of(value: str) -> int | None:
    """Milliseconds since 1970 of an RFC 3339 text, cut; ``None`` if it is none; as if in UTC without a zone."""
    found = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:[Zz]|([+-])(\d\d):(\d\d))?", value, re.ASCII
    )
    if not found:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    away = int(found[9] or 0) * 60 + int(found[10] or 0)
    if hour > 23 or minute > 59 or second > 59 or int(found[9] or 0) > 23 or int(found[10] or 0) > 59:
        return None
    try:
        days = (date(year, month, day) - date(1970, 1, 1)).days
    except ValueError:
        return None
    minutes = (days * 24 + hour) * 60 + minute - (-away if found[8] == "-" else away)
    return (minutes * 60 + second) * 1000 + int((found[7] or "0").ljust(6, "0")) // 1000


def money(value: float, currency: str | None, path: str, rates: dict[str, float]) -> int:
    """Cents of a shop that sells in USD."""
    code = (currency or "").upper()
    if code and not re.fullmatch("[A-Z]{3}", code):
        raise Wrong(("unknown_currency", "currency"))
    if code not in ("", "USD", *rates):
        raise Wrong(("no_rate", "currency"))
    cents = float(value) * rates.get(code, 1.0) * 100.0
    minor = int(Decimal(cents).to_integral_value(ROUND_HALF_EVEN))
    if minor > 10**12:
        raise Wrong(("money_out_of_range", path))
    return minor


def read(message: dict[str, Any], rates: dict[str, float], at_ms: int = -1) -> kinds.Event | Faults | str:
    """The event in a message without headers, all faults of the first step that fails, or ``ignored``."""
    try:
        return _read(message, rates, at_ms)
    except Wrong as wrong:
        return wrong.faults


def _read(message: dict[str, Any], rates: dict[str, float], at_ms: int) -> kinds.Event | str:
    _must(table(ENVELOPE)(message, "$"))
    root = "$"
    if message.get("specversion") is not None:
        outer, root = message, "$.data"
        if outer["specversion"] != "1.0":
            raise Wrong(("not_segment", "$.specversion"))
        if outer.get("data") is None:
            raise Wrong(("not_segment", "$.data"))
        if not isinstance(outer["data"], dict):
            raise Wrong(("not_segment", "$.data"))
        _must(table(ENVELOPE)(outer["data"], root))
        message = dict(outer["data"])
        if not message.get("messageId"):
            if len(outer.get("id") or "") > 256:
                raise Wrong(("value_out_of_range", "$.id"))
            message["messageId"] = outer.get("id")
        if message.get("timestamp") is None:
            message["timestamp"] = outer.get("time")
        if not message.get("userId") and not message.get("anonymousId"):
            if len(outer.get("subject") or "") > 256:
                raise Wrong(("value_out_of_range", "$.subject"))
            message["userId"] = outer.get("subject")

    kind, name = message.get("type", ""), message.get("event") or ""
    if kind not in ("track", "identify", "page", "screen", "group", "alias"):
        raise Wrong(("not_segment", f"{root}.type"))
    if kind == "group":
        return "ignored"
    if kind == "track":
        if not name:
            raise Wrong(("missing_field", f"{root}.event"))
        plain = re.sub("[-_]", " ", name).lower()
        known = [row for row in PROPERTIES if row.lower() == plain]
        if not known:
            return "ignored"
        name = known[0]

    customer = message.get("userId") or (message.get("anonymousId") and "anon:" + message["anonymousId"])
    if not customer:
        raise Wrong(("no_customer", f"{root}.userId"))
    if customer.startswith("\0"):
        raise Wrong(("value_out_of_range", f"{root}.userId"))
    if not message.get("messageId"):
        raise Wrong(("no_message_id", f"{root}.messageId"))
    common = {"message_id": message["messageId"], "customer": customer, "time_ms": _time(message, root, at_ms)}

    if kind == "alias":
        return kinds.Aliased(**common, previous=message.get("previousId") or "")
    place = f"{root}.traits" if kind == "identify" else f"{root}.properties"
    found = message.get(place.rsplit(".", 1)[1])
    found = {} if found is None else found
    if kind == "identify":
        _must(table(TRAITS)(found, place))
        return _identified(found, common)
    fields, needed = PROPERTIES[name] if kind == "track" else ({}, "")
    _must(table({"channel": WORD, **fields}, needed)(found, place))
    try:
        return _event(
            name if kind == "track" else "page", found, common | {"channel": found.get("channel") or ""}, rates
        )
    except Wrong as wrong:
        raise Wrong(*((reason, f"{place}.{field}") for reason, field in wrong.faults)) from None


def _must(faults: Faults) -> None:
    if faults:
        raise Wrong(*faults)


def _time(message: dict[str, Any], root: str, at_ms: int) -> int:
    if message.get("timestamp") is None:
        raise Wrong(("no_time", f"{root}.timestamp"))
    for field in ("timestamp", "sentAt", "receivedAt"):
        if message.get(field) is not None and not re.search(r"([Zz]|[+-]\d\d:\d\d)$", message[field]):
            raise Wrong(("no_zone", f"{root}.{field}"))
    at, sent, received, original = (
        None if message.get(field) is None else ms_of(message[field])
        for field in ("timestamp", "sentAt", "receivedAt", "originalTimestamp")
    )
    assert at is not None
    if sent is not None and received is not None and original is None:
        at += received - sent
    if not FIRST_MS <= at <= (LAST_MS if at_ms < 0 else min(LAST_MS, at_ms + DAY_MS)):
        raise Wrong(("time_out_of_range", f"{root}.timestamp"))
    return at


def _identified(p: dict[str, Any], common: dict[str, Any]) -> kinds.Event:
    return kinds.Identified(
        **common,
        region=p.get("region") or (p.get("address") or {}).get("country") or "",
        language=p.get("language") or p.get("locale") or "",
        timezone=p.get("timezone") or "",
        birthday=p.get("birthday") or "",
        membership_expires=p.get("membership_expires") or "",
        referred_by=p.get("referred_by") or "",
        level=p.get("level") or "",
        consent=tuple(sorted((p.get("consent") or {}).items())),
    )


def _event(name: str, p: dict[str, Any], common: dict[str, Any], rates: dict[str, float]) -> kinds.Event:
    """The event of a message whose fields are right one by one."""

    def minor(field: str) -> int | None:
        return None if p.get(field) is None else money(p[field], p.get("currency"), field, rates)

    def lines() -> tuple[kinds.Line, ...]:
        return tuple(
            kinds.Line(
                item.get("product_id") or item.get("sku") or item.get("name") or "",
                1 if item.get("quantity") is None else item["quantity"],
                0
                if item.get("price") is None
                else money(item["price"], p.get("currency"), f"products[{at}].price", rates),
            )
            for at, item in enumerate(p.get("products") or [])
        )

    if name in ("Order Completed", "Order Updated"):
        revenue, total, discount = minor("revenue"), minor("total"), minor("discount")
        return (kinds.Purchase if name == "Order Completed" else kinds.OrderUpdated)(
            **common,
            order_id=p.get("order_id") or common["message_id"],
            amount_minor=(total if revenue is None else revenue) or 0,
            discount_minor=discount or 0,
            coupon=p.get("coupon") or "",
            store=p.get("affiliation") or "",
            lines=lines(),
            category=([item["category"] for item in p.get("products") or [] if item.get("category")] or [""])[0],
        )
    if name == "Order Refunded":
        revenue = minor("revenue")
        return kinds.Refund(
            **common, order_id=p["order_id"], amount_minor=minor("total") if revenue is None else revenue
        )
    if name == "Order Cancelled":
        return kinds.Cancellation(**common, order_id=p["order_id"])
    if name in ("Product Viewed", "Product Added", "Product Removed"):
        product = p.get("product_id") or p.get("sku")
        if not product:
            raise Wrong(("missing_field", "product_id"))
        price, category = minor("price") or 0, p.get("category") or ""
        if name == "Product Viewed":
            return kinds.ProductViewed(**common, product_id=product, category=category, price_minor=price)
        line = kinds.Line(product, 1 if p.get("quantity") is None else p["quantity"], price)
        if name == "Product Added":
            return kinds.CartAdded(**common, line=line, category=category)
        return kinds.CartRemoved(**common, line=line)
    if name == "Products Searched":
        return kinds.Searched(**common, query=p.get("query") or "")
    if name in ("Cart Viewed", "Checkout Started"):
        return (kinds.CartViewed if name == "Cart Viewed" else kinds.CheckoutStarted)(**common, lines=lines())
    if name == "Product Reviewed":
        return kinds.Reviewed(
            **common,
            product_id=p.get("product_id") or "",
            rating=_rating(p.get("rating")),
            text=p.get("review_body") or "",
        )
    if name in ("NPS Submitted", "CSAT Submitted"):
        return (kinds.NpsGiven if name == "NPS Submitted" else kinds.CsatGiven)(**common, score=p["score"])
    if name in ("Complaint Opened", "Complaint Resolved"):
        opened = name == "Complaint Opened"
        return (kinds.ComplaintOpened if opened else kinds.ComplaintResolved)(**common, complaint_id=p["complaint_id"])
    if name == "Consent Changed":
        channel = p.get("consent_channel", "*")
        return kinds.ConsentChanged(**common, consent_channel=channel, granted=p["granted"])
    if name.startswith("Action "):
        status = name.removeprefix("Action ").lower()
        if status != "converted":
            return kinds.Outcome(**common, action_id=p["action_id"], status=status)
        return kinds.Outcome(
            **common,
            action_id=p["action_id"],
            status=status,
            order_id=p.get("order_id") or "",
            amount_minor=minor("revenue") or 0,
        )
    return kinds.Activity(**common, name=name)


def _rating(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    try:
        rating = float(value)
    except ValueError:
        raise Wrong(("wrong_type", "rating")) from None
    except OverflowError:
        rating = float("inf")
    if not 0.0 <= rating <= 5.0:
        raise Wrong(("value_out_of_range", "rating"))
    return rating
