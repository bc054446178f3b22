"""The worker's HTTP port: probes, metrics, the look at one customer and at all of a class.

Bound to this machine unless a token is set. Probes are open to whoever reaches the port: they say nothing about
customers, and a kubelet has no token.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import hdrs, web
from mode import Service

from stream.config import Settings
from stream.errors import PortInUse
from stream.web.ports import Answers, Elsewhere, NotYet

PAGE, MOST_PAGE = 100, 1_000
"""Customers of a list that are told at once. More: one answer takes the worker's time for a quarter of a second in all."""
_OPEN_PATHS = frozenset({"/health", "/ready"})

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer(Service):
    """Serves while the app runs, from before the broker is found until after the last partition is let go."""

    logger = logging.getLogger("faust.winback")

    def __init__(self, settings: Settings, answers: Answers, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._answers = answers
        self._runner: web.AppRunner | None = None
        self.port = 0
        """The port that is listened on: the configured one, or the one found free for 0."""

    async def on_start(self) -> None:
        """Listens."""
        host, port = self._settings.web_host, self._settings.web_port
        self._runner = web.AppRunner(
            make_application(self._answers, self._settings.web_token), access_log=None, shutdown_timeout=1.0
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise PortInUse(f"the web port {host}:{port} can't be opened ({why}); see --web-port") from error
        self.port = self._runner.addresses[0][1]
        _log.info(
            "web: http://%s:%d (/health /ready /metrics /customers /customers/ID /products/ID /drivers)",
            host,
            self.port,
        )

    async def on_stop(self) -> None:
        """Listens no more."""
        if self._runner is not None:
            await self._runner.cleanup()


def make_application(answers: Answers, token: str = "") -> web.Application:
    """The routes. With a token every path but the probes asks for ``Authorization: Bearer``."""
    one_list = asyncio.Lock()

    async def health(request: web.Request) -> web.Response:
        stuck = answers.alive()
        return _json({"healthy": not stuck, "reasons": stuck}, 503 if stuck else 200)

    async def ready(request: web.Request) -> web.Response:
        reasons = answers.ready()
        return _json({"ready": not reasons, "reasons": reasons, **answers.details()}, 503 if reasons else 200)

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = answers.metrics(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def customer(request: web.Request) -> web.Response:
        customer_id = request.match_info["customer_id"]
        try:
            found = answers.customer(customer_id)
        except Elsewhere as elsewhere:
            return _misdirected(elsewhere)
        except NotYet:
            return _json({"error": "not ready yet", "reasons": answers.ready()}, 503)
        if found is None:
            return _json({"error": f"no customer {customer_id!r}"}, 404)
        return _json(found)

    async def customers(request: web.Request) -> web.Response:
        asked = dict(request.query)
        after, limit = asked.pop("after", ""), asked.pop("limit", str(PAGE))
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST_PAGE:
            return _json({"error": f"limit is a number from 1 to {MOST_PAGE:,}, not {limit!r}"}, 400)
        page: list[dict[str, Any]] = []
        try:
            async with one_list:  # each goes through all customers: several at once would be a load that nobody sees
                for found in answers.customers(asked, after):
                    if found is not None:
                        page.append(found)
                        if len(page) == int(limit):
                            break
                    elif request.transport is None:
                        break  # nobody waits any more
                    await asyncio.sleep(0)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        except Elsewhere as elsewhere:
            return _misdirected(elsewhere)
        except NotYet:
            return _json({"error": "not ready yet", "reasons": answers.ready()}, 503)
        full = len(page) == int(limit)
        return _json({"customers": page, "after": page[-1]["customer_id"] if full else None})

    async def product(request: web.Request) -> web.Response:
        product_id = request.match_info["product_id"]
        try:
            found = answers.product(product_id)
        except NotYet:
            return _json({"error": "not ready yet", "reasons": answers.ready()}, 503)
        if not found["known"]:
            return _json({"error": f"no product {product_id!r} among those that are counted"}, 404)
        return _json(found)

    async def drivers(request: web.Request) -> web.Response:
        try:
            return _json(answers.drivers())
        except NotYet:
            return _json({"error": "not ready yet", "reasons": answers.ready()}, 503)

    application = web.Application(middlewares=[_guard(token)] if token else [])
    application.add_routes(
        [
            web.get("/health", health),
            web.get("/ready", ready),
            web.get("/metrics", metrics),
            web.get("/customers", customers),
            # An id may hold a slash.
            web.get("/customers/{customer_id:.+}", customer),
            web.get("/products/{product_id:.+}", product),
            web.get("/drivers", drivers),
        ]
    )
    return application


def _guard(token: str) -> Any:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(hdrs.AUTHORIZATION, "").encode()
        if request.path in _OPEN_PATHS or hmac.compare_digest(given, expected):
            return await handler(request)
        refusal = _json({"error": "a token is needed: Authorization: Bearer …"}, 401)
        refusal.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        return refusal

    return guard


def _misdirected(elsewhere: Elsewhere) -> web.Response:
    # 421 Misdirected Request (RFC 9110 §15.5.20): right question, wrong server.
    return _json(
        {
            "error": "another worker serves this customer; ask all workers, or the one with the partition",
            "partition": elsewhere.partition,
            "partitions_here": elsewhere.held,
        },
        421,
    )


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")
