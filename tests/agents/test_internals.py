"""What the shell relies on in Faust and aiokafka beyond their documented interfaces, in one place.

If one of these fails after an update, read `stream/agents/transport.py`, `transactions.py` and docs/shell.md before
changing it: the guarantees of delivery stand on it.
"""

from __future__ import annotations

import hashlib
import inspect
from importlib.metadata import version

import aiokafka.consumer.group_coordinator as coordinator
import aiokafka.producer.message_accumulator as accumulator
import aiokafka.producer.sender as sender
import faust.transport.consumer as consumer
import faust.transport.drivers.aiokafka as driver
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.producer.transaction_manager import TransactionManager
from faust.app.base import App, BootStrategy
from faust.transport.drivers import TRANSPORTS
from mode import threads

from stream.agents import fetched, transport


def test_the_versions_are_those_that_were_read() -> None:
    """Another version may be as good, but somebody must have looked."""
    assert ("0.15.3", "0.14.0") == (version("faust-streaming"), version("aiokafka"))


def test_faust_still_has_the_seams_that_are_overridden() -> None:
    """A method that is overridden and no longer called would fail in silence."""
    assert "self._create_consumer(loop=" in inspect.getsource(driver.AIOKafkaConsumerThread.on_start)
    assert "_create_worker_consumer" in inspect.getsource(driver.AIOKafkaConsumerThread._create_consumer)
    assert "self._new_consumer_thread()" in inspect.getsource(consumer.ThreadDelegateConsumer.__init__)
    assert "getmany = self.getmany" in inspect.getsource(consumer.Consumer._drain_messages)
    assert "consumer.perform_seek()" in inspect.getsource(__import__("faust.tables.recovery", fromlist=["x"]))
    assert "await self.commit()" in inspect.getsource(consumer.Consumer._commit_handler.fun)
    assert "verify_all_partitions_active" in inspect.getsource(consumer.Consumer._commit_livelock_detector.fun)
    assert "call_thread" in dir(driver.AIOKafkaConsumerThread)
    assert "if self._close_thread_loop_on_stop" in inspect.getsource(threads.ServiceThread)


def test_faust_drops_messages_whose_number_falls() -> None:
    """Why a chunk carries a number that only grows instead of its offset."""
    assert "offset >= r_offset" in inspect.getsource(consumer.Consumer._drain_messages)


def test_faust_calls_back_before_and_after_a_rebalance() -> None:
    """The signals on which partitions are paused and handed over; both are awaited inside the rebalance."""
    assert "await T(self.on_partitions_revoked.send)(revoked)" in inspect.getsource(App._on_partitions_revoked)
    assert "await T(self.on_partitions_assigned.send)(assigned)" in inspect.getsource(App._on_partitions_assigned)


def test_faust_starts_services_in_the_order_of_the_boot_strategy() -> None:
    """Web first, shell last; and no Faust producer."""
    assert "self._chain(" in inspect.getsource(BootStrategy.server)
    assert BootStrategy.enable_kafka_producer is None


def test_aiokafka_still_has_what_the_transport_reads() -> None:
    """Position, error hand-over and rejoin of the group member."""
    assert isinstance(TopicPartitionState.position, property)
    assert isinstance(TopicPartitionState.has_valid_position, property)
    assert callable(coordinator.GroupCoordinator.check_errors)
    assert callable(coordinator.GroupCoordinator.request_rejoin)


def _checksum(*parts: object) -> str:
    return hashlib.sha256("".join(inspect.getsource(part) for part in parts).encode()).hexdigest()[:16]  # type: ignore[arg-type]


def test_aiokafka_still_unpacks_what_it_fetched_in_the_way_that_was_copied() -> None:
    """`stream.agents.fetched` does the same with whole batches: whatever changes in these must be followed there."""
    assert "9e6e0c97799fbd8d" == _checksum(PartitionRecords, FetchResult)
    assert "bd7132d7ca79d845" == _checksum(Fetcher.fetched_records, Fetcher._create_fetch_waiter, Fetcher._notify)
    assert "bc6d248e42a4e9d9" == _checksum(AIOKafkaConsumer.getmany)
    assert "FetchResult(" in inspect.getsource(Fetcher._proc_fetch_request)


def test_aiokafka_still_makes_its_requests_from_what_the_transport_changes() -> None:
    """The wait of the next request is an attribute; whoever waits for records is woken through the list of waiters."""
    assert "self._fetch_max_wait_ms," in inspect.getsource(Fetcher._get_actions_per_node)
    assert "self._fetch_waiters.add(fut)" in inspect.getsource(Fetcher._create_fetch_waiter)


def test_our_fetch_returns_without_a_pause() -> None:
    """Between taking records and returning there is no await, so positions belong to the returned records."""
    assert "await" not in inspect.getsource(fetched._take) + inspect.getsource(fetched.unpack)


def test_aiokafka_still_builds_batches_that_only_count_along() -> None:
    """Records are appended to the builder below `BatchBuilder`, which is then told how many there are."""
    assert "8050802ca7514186" == _checksum(accumulator.BatchBuilder)


def test_aiokafka_commits_though_a_batch_failed() -> None:
    """Why every batch's own answer is awaited before a transaction is committed."""
    source = inspect.getsource(accumulator.MessageAccumulator.flush_for_commit)
    assert "asyncio.wait(waiters)" in source and "result()" not in source


def test_aiokafka_still_sleeps_between_transactions() -> None:
    """The constant that `TransactionalWriter` shortens is still the one that is slept."""
    source = inspect.getsource(sender.AddPartitionsToTxnHandler.handle_response)
    assert isinstance(sender.BACKOFF_OVERRIDE, float)
    assert "return BACKOFF_OVERRIDE" in source


def test_aiokafka_still_asks_for_a_transaction_as_the_writer_does_ahead_of_it() -> None:
    """`TransactionalWriter` sends the client's own requests before the client would, with its handlers of the answers."""
    assert "704c508409757c05" == _checksum(sender.AddPartitionsToTxnHandler, sender.AddOffsetsToTxnHandler)
    assert "05f148185c5b95ee" == _checksum(sender.Sender._do_add_offsets_to_txn, sender.Sender._find_coordinator)
    assert "71227a8a4d9ca80d" == _checksum(sender.Sender._maybe_do_transactional_request)
    assert "9deb77668eeeed8c" == _checksum(AIOKafkaProducer.begin_transaction, TransactionManager)


def test_the_scheme_is_known_to_faust() -> None:
    """Faust finds the transport by its URL."""
    transport.register()

    assert transport.BatchTransport is TRANSPORTS.by_url("winback://127.0.0.1:9092")
