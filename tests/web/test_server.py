"""The HTTP port with a worker made of plain values behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from stream.web.ports import Elsewhere, NotYet
from stream.web.server import make_application


class Worker:
    """Answers as told."""

    def __init__(self, *, stuck: list[str] | None = None, reasons: list[str] | None = None) -> None:
        self._stuck, self._reasons = stuck or [], reasons or []

    def alive(self) -> list[str]:
        return self._stuck

    def ready(self) -> list[str]:
        return self._reasons

    def details(self) -> dict[str, Any]:
        return {"partitions": {"0": {"stage": "restoring", "restored_ratio": 0.43}}}

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"winback_ready 1.0\n", "text/plain; version=0.0.4; charset=utf-8"

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        if customer_id == "moved":
            raise Elsewhere(3, [0, 1])
        if customer_id == "early":
            raise NotYet
        return {"customer_id": customer_id} if customer_id == "shop/ann" else None

    def customers(self, asked: Mapping[str, str], after: str) -> Iterator[dict[str, Any] | None]:
        if after == "moved":
            raise Elsewhere(3, [0, 1])
        if after == "early":
            raise NotYet
        return iter([None, {"customer_id": "ann", **asked}, None, {"customer_id": "bob"}])

    def product(self, product_id: str) -> dict[str, Any]:
        if product_id == "early":
            raise NotYet
        return {"product_id": product_id, "known": product_id == "tea/assam"}

    def drivers(self) -> dict[str, Any]:
        if self._reasons:
            raise NotYet
        return {"drivers": [{"feature": "repeats", "loyalty": 0.41}]}


def get(worker: Worker, path: str, token: str = "", given: str = "") -> tuple[int, Any]:
    """Status and body of one request."""

    async def ask() -> tuple[int, Any]:
        headers = {"Authorization": given} if given else {}
        async with TestClient(TestServer(make_application(worker, token))) as client:
            answer = await client.get(path, headers=headers)
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    return asyncio.run(ask())


def test_a_worker_that_restores_is_not_ready_but_healthy() -> None:
    """Readiness and liveness are two questions."""
    worker = Worker(reasons=["partition 0: restoring 43%"])

    code, body = get(worker, "/ready")

    assert (503, False, ["partition 0: restoring 43%"]) == (code, body["ready"], body["reasons"])
    assert 0.43 == body["partitions"]["0"]["restored_ratio"]
    assert (200, {"healthy": True, "reasons": []}) == get(worker, "/health")


def test_a_stuck_worker_is_not_healthy() -> None:
    """The reason is in the answer."""
    assert (503, {"healthy": False, "reasons": ["partition 1: no progress"]}) == get(
        Worker(stuck=["partition 1: no progress"]), "/health"
    )


def test_a_customer_is_found_missing_elsewhere_or_not_yet() -> None:
    """200, 404, 421 and 503 say four different things."""
    assert (200, {"customer_id": "shop/ann"}) == get(Worker(), "/customers/shop/ann")
    assert 404 == get(Worker(), "/customers/bob")[0]
    code, body = get(Worker(), "/customers/moved")
    assert (421, 3, [0, 1]) == (code, body["partition"], body["partitions_here"])
    assert 503 == get(Worker(), "/customers/early")[0]


def test_customers_are_listed_page_by_page() -> None:
    """A full page names the last one, to go on after; filters reach the worker."""
    assert get(Worker(), "/customers?tier=high") == (
        200,
        {"customers": [{"customer_id": "ann", "tier": "high"}, {"customer_id": "bob"}], "after": None},
    )
    assert get(Worker(), "/customers?limit=1") == (200, {"customers": [{"customer_id": "ann"}], "after": "ann"})
    assert [421, 503, 400, 400] == [
        get(Worker(), f"/customers?{query}")[0] for query in ("after=moved", "after=early", "limit=1001", "limit=x")
    ]
    assert 401 == get(Worker(), "/customers", token="t")[0]


def test_with_a_token_only_probes_are_open() -> None:
    """Metrics and customers need it; a wrong one is refused."""
    assert 200 == get(Worker(), "/ready", token="t")[0]
    assert 200 == get(Worker(), "/health", token="t")[0]
    assert 401 == get(Worker(), "/metrics", token="t")[0]
    assert 401 == get(Worker(), "/customers/shop/ann", token="t", given="Bearer x")[0]
    assert 200 == get(Worker(), "/customers/shop/ann", token="t", given="Bearer t")[0]


def test_metrics_have_their_content_type() -> None:
    """Prometheus reads it."""
    assert (200, "winback_ready 1.0\n") == get(Worker(), "/metrics")


def test_a_product_is_looked_up_by_any_id() -> None:
    """Also one with a slash; one that isn't counted is a 404, a worker without a partition says that it isn't ready."""
    assert get(Worker(), "/products/tea/assam") == (200, {"product_id": "tea/assam", "known": True})
    assert get(Worker(), "/products/cup")[0] == 404
    assert get(Worker(reasons=["restoring"]), "/products/early") == (
        503,
        {"error": "not ready yet", "reasons": ["restoring"]},
    )
    assert get(Worker(), "/products/tea", token="secret")[0] == 401


def test_drivers_are_told_by_any_worker() -> None:
    """As the version in use has them; by one without a partition, that it isn't ready; and to nobody without the token."""
    assert get(Worker(), "/drivers") == (200, {"drivers": [{"feature": "repeats", "loyalty": 0.41}]})
    assert get(Worker(reasons=["restoring"]), "/drivers") == (503, {"error": "not ready yet", "reasons": ["restoring"]})
    assert get(Worker(), "/drivers", token="secret")[0] == 401
