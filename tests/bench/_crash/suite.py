"""The rounds: load, a fault at a random point, recovery, quiet, and the account."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

import stream.rules
from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options
from stream.config import Settings
from stream.replay import Replay
from stream.rules.loader import load_rules
from tests.agents.harness import consumed, make_topics, settings_for, until
from tests.bench._crash.account import Account, Difference, differences
from tests.bench._crash.faults import FAULTS, TAKE_OVER_SECONDS, now_ms, possible
from tests.bench._crash.feed import Feed
from tests.bench._crash.oracle import CART_MS, Oracle
from tests.bench._crash.shop import Shop
from tests.bench._crash.tap import Tap
from tests.bench._crash.workers import Worker

PARTITIONS = 4
WORKERS = 2
SETTLE_SECONDS = 180.0
"""How long all that was sent may take to be applied after the load has ended. Far more than it takes, also on a busy
machine; what is missing then is lost."""
QUIET_SECONDS = 10.0
"""How long nothing may be heard, with all offsets at the end, before what is missing is lost: several times as long as a
timer, or a record on its way through the repartition topic, takes on a busy machine."""
MOST_SHOWN = 20
"""Differences that are told one by one; one lost batch makes thousands."""
_ASKED_OVER_HTTP = 40


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """What to run."""

    rounds: int
    seed: int = 1
    delivery: str = "exactly_once"
    nodes: int = 3
    rate: float = 500.0
    """Events a second."""
    faults: tuple[str, ...] = ()
    """Names from `FAULTS`; none: all that the cluster can take."""
    plant: str = ""
    """``early-commit``: the bug that must be found."""


class Round(msgspec.Struct, kw_only=True):
    """What became of one round."""

    number: int
    fault: str
    events: int = 0
    recovery_s: float = 0.0
    seconds: float = 0.0
    differences: list[str] = []
    lost: int = 0
    duplicated: int = 0
    mismatched: int = 0


class Report(msgspec.Struct, kw_only=True):
    """What became of all of them."""

    plan: Plan
    rounds: list[Round] = []
    customers: int = 0
    decisions: int = 0
    letters: int = 0
    repeated: int = 0
    """At-least-once: publications beyond the first of an action or a dead letter."""
    replayed: int = 0
    """Decisions that replay of the same input makes too."""
    seconds: float = 0.0
    logs: str = ""

    @property
    def failed(self) -> bool:
        """Whether anything was not as it must be."""
        return any(done.differences for done in self.rounds)


class Suite:
    """Runs a plan on a cluster."""

    def __init__(self, plan: Plan, cluster: EmbeddedBroker, folder: Path, say: Callable[[str], None]) -> None:
        self.chance = random.Random(plan.seed)
        self.cluster = cluster
        self.nodes = plan.nodes
        self.partitions = PARTITIONS
        self.workers: list[Worker] = []
        self.say = say
        self._plan = plan
        self._folder = folder
        self._made = 0
        self._struck_ms = 0
        self._struck = 0.0
        rules = folder / "rules"
        shutil.copytree(Path(stream.rules.__file__).parent / "library", rules)
        shutil.copytree(Path(__file__).parent / "rules", rules, dirs_exist_ok=True)
        self._rules = load_rules(str(rules))
        self._settings = settings_for(
            cluster.bootstrap,
            partitions=PARTITIONS,
            replication_factor=min(3, plan.nodes),
            delivery=plan.delivery,
            rules_dir=str(rules),
            batch_records=200,
            session_timeout_ms=6_000,
        )
        shop = Shop(plan.seed, now_ms)
        self._oracle = Oracle(shop.planted)
        self._tap = Tap(self._settings, self._oracle)
        self._feed = Feed(self._settings, shop, random.Random(plan.seed + 1), plan.rate)
        self._account = Account(self._settings, self._rules, self._oracle, self._tap, self._feed)

    async def run(self, on_round: Callable[[Round], None], on_begin: Callable[[int, str], None]) -> Report:
        """All rounds, up to the first that fails; then everything once more, and replay."""
        plan, began = self._plan, time.monotonic()
        report = Report(plan=plan, logs=str(self._folder))
        await make_topics(self._settings)
        names = self._drawn()
        async with self._tap, self._feed:
            try:
                for number in range(1, plan.rounds + 1):
                    name = next(names)
                    on_begin(number, name)
                    done = await self._round(number, name)
                    report.rounds.append(done)
                    on_round(done)
                    if done.differences:
                        break
                else:
                    await self._last_look(report)
            finally:
                for worker in self.workers:
                    worker.kill()
        report.customers = len(self._oracle.customers)
        report.decisions = len(self._tap.decisions)
        report.letters = len(self._tap.letters)
        report.repeated = self._tap.decisions.total() - report.decisions + self._tap.letters.total() - report.letters
        report.seconds = time.monotonic() - began
        return report

    def _drawn(self) -> Any:
        """Faults in an order of chance, each as often as the others."""
        names = list(self._plan.faults or possible(self._plan.nodes))
        while True:
            self.chance.shuffle(names)
            yield from names

    async def _round(self, number: int, name: str) -> Round:
        done = Round(number=number, fault=name)
        before, began, self._struck_ms = self._oracle.records, time.monotonic(), 0
        try:
            await self._all_at_work()
            self._tap.forget_commits()
            async with self._feed.flowing():
                await asyncio.sleep(self.chance.uniform(0.3, 1.5))
                await FAULTS[name](self)
                await self.recovered()
                done.recovery_s = self._recovered_at() - self._struck
            if any(worker.wrong_by_ms > 0 for worker in self.workers):
                self._account.recheck_all()
            found = await self._settled()
            if any(worker.wrong_by_ms for worker in self.workers) and not found:
                for worker in self.workers:
                    worker.set_clock(0)
                self._account.recheck_all()
                found = await self._settled()
        except (TimeoutError, AssertionError, KafkaError) as error:
            found = [Difference("mismatched", f"{name} did not end well: {error!r}", "", "an end", self._states())]
        done.events = self._oracle.records - before
        done.seconds = time.monotonic() - began
        self._note(done, found)
        return done

    def _note(self, done: Round, found: Sequence[Difference]) -> None:
        for kind in ("lost", "duplicated", "mismatched"):
            setattr(done, kind, sum(1 for difference in found if difference.kind == kind))
        done.differences = [str(difference) for difference in found[:MOST_SHOWN]]

    async def _all_at_work(self) -> None:
        while len(self.workers) < WORKERS:
            self.workers.append(self.new_worker())
        for worker in self.workers:
            if not worker.started:
                worker.start()
            worker.check()

        async def served() -> bool:
            shares = [await worker.partitions() for worker in self.workers]
            return (
                all(shares) and set().union(*shares) == set(range(PARTITIONS)) and sum(map(len, shares)) == PARTITIONS
            )

        await until(served, TAKE_OVER_SECONDS)

    async def _settled(self) -> list[Difference]:
        """What still differs when all that was sent is applied, or `SETTLE_SECONDS` are over."""
        began = time.monotonic()
        account = self._account
        last_timer = began + (CART_MS + 500) / 1000
        while True:
            for worker in self.workers:
                worker.check()
            as_of_ms = now_ms()
            clock_ms = as_of_ms + min(worker.wrong_by_ms for worker in self.workers)
            found = account.compare(as_of_ms, clock_ms)
            if not found and time.monotonic() > last_timer:
                # Each is looked at once more, now that its last timer was due.
                account.look_again()
                found = account.compare(as_of_ms, clock_ms)
                if not found:
                    account.round_over()
                    return []
            if time.monotonic() > began + SETTLE_SECONDS or await self._nothing_more_comes():
                return found
            await asyncio.sleep(0.25)

    async def _nothing_more_comes(self) -> bool:
        """By the offsets all that was sent is applied, and nothing has been published for a while."""
        if time.monotonic() - self._tap.heard < QUIET_SECONDS:
            return False
        applied = [await consumed(self._settings, topic) for topic in self._settings.input_topics]
        return sum(applied) >= self._oracle.records

    async def _last_look(self, report: Report) -> None:
        """Every customer once more, some over HTTP from the workers' own memory; and replay of the same input."""
        done = Round(number=len(report.rounds), fault="last look")
        self._account.recheck_all()
        found = await self._settled() + await self._over_http()
        report.replayed, wrong = await asyncio.to_thread(self._replay)
        self._note(done, found + wrong)
        if done.differences:
            report.rounds.append(done)

    async def _over_http(self) -> list[Difference]:
        found: list[Difference] = []
        names = sorted(self._oracle.customers)
        for name in self.chance.sample(names, min(_ASKED_OVER_HTTP, len(names))):
            answers = [await worker.get(f"/customers/{name}") for worker in self.workers]
            views = [answer for answer in answers if answer and "customer_id" in answer]
            if len(views) != 1:
                found.append(Difference("mismatched", "workers that have the customer", name, 1, len(views)))
            for view in views:
                found += differences(name, self._oracle.figures(name, now_ms()), view)
        return found

    def _replay(self) -> tuple[int, list[Difference]]:
        """The suite's own decisions as replay makes them (but for the half day, which the set clocks decide), and the
        customers as replay has them."""
        file, until_ms = self._folder / "events.jsonl", now_ms()
        file.write_bytes(b"\n".join(self._oracle.lines))
        settings = Settings(rules_dir=self._settings.rules_dir)
        found: list[Difference] = []
        replayed = set()
        with Replay(settings, self._rules, until_ms=until_ms) as run:
            run.run([file])
            for row in chain(run.rows("actions"), run.rows("suppressions")):
                plain = msgspec.json.decode(row)
                if plain["rule"]["id"].startswith("crash-"):
                    replayed.add((plain["customer_id"], plain["rule"]["id"], plain["occurrence"]))
            for row in run.rows("customers"):
                view = msgspec.json.decode(row)
                name = view["customer_id"]
                found += differences(f"{name} (replay)", self._oracle.figures(name, until_ms), view)
        replayed = {name for name in replayed if name[1] != "crash-half-day"}
        live = {name for name in self._tap.named if name[1] != "crash-half-day"}
        for customer, rule, occurrence in sorted(replayed ^ live)[:MOST_SHOWN]:
            where = "replay" if (customer, rule, occurrence) in replayed else "live"
            found.append(Difference("mismatched", f"{rule} on {occurrence} is only in {where}", customer))
        return len(replayed), found

    # -- what faults use

    def new_worker(self) -> Worker:
        """One more, not started."""
        self._made += 1
        return Worker(self._settings, self._folder / f"worker-{self._made}", self._plan.plant)

    def strike(self) -> None:
        """Now it happens: the time to recovery counts from here."""
        self._struck_ms, self._struck = now_ms(), time.monotonic()

    async def recovered(self) -> None:
        """Returns when every partition has committed something that was written after the strike."""
        try:
            await until(lambda: self._tap.committed_since(self._struck_ms) is not None, TAKE_OVER_SECONDS)
        except TimeoutError:
            quiet = self._tap.quiet_since(self._struck_ms)
            raise AssertionError(f"no commit since the fault on partitions {quiet}") from None

    def _recovered_at(self) -> float:
        at = self._tap.committed_since(self._struck_ms)
        assert at is not None
        return at

    async def in_sync(self) -> None:
        """Returns when every replica has everything."""
        await until(self._is_in_sync, TAKE_OVER_SECONDS)

    async def _is_in_sync(self) -> bool:
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        try:
            await admin.start()
            topics = await admin.describe_topics()
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
        rows = [row for topic in topics for row in topic["partitions"]]
        return bool(rows) and all(row["leader"] >= 0 and len(row["isr"]) == len(row["replicas"]) for row in rows)

    def _states(self) -> str:
        return "; ".join(
            f"{worker.name} {'runs' if worker.runs else f'ended with {worker.exit_code}'}" for worker in self.workers
        )
