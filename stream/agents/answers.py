"""The shell's answers to the HTTP API's questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stream.agents.shell import Shell
from stream.agents.status import STALLED_SECONDS


class ShellAnswers:
    """What probes and people may ask a worker.

    ``elsewhere`` makes the exception for a customer of another worker from (partition, partitions held here);
    ``not_yet`` is the one for a partition that is being restored.
    """

    def __init__(
        self, shell: Shell, elsewhere: Callable[[int, list[int]], Exception], not_yet: type[Exception]
    ) -> None:
        self._shell = shell
        self._elsewhere = elsewhere
        self._not_yet = not_yet

    def alive(self) -> list[str]:
        """Progress, not pulse: a partition with work that has not moved. A broker that is away is no reason."""
        stuck = self._shell.status.stalled()
        return [f"partition {number}: no progress for {STALLED_SECONDS:.0f} s though work waits" for number in stuck]

    def ready(self) -> list[str]:
        """Why events are not being processed right now."""
        return self._shell.status.not_ready()

    def details(self) -> dict[str, Any]:
        """Stage and progress of every partition."""
        status = self._shell.status
        partitions = {
            str(number): {
                "stage": part.stage.value,
                "restored_ratio": round(part.progress.ratio, 4),
                "restored_records": part.progress.records,
                "recovery_seconds": round(part.progress.seconds, 3),
                "trouble": part.trouble,
                "disk": part.disk,
            }
            for number, part in sorted(status.partitions.items())
        }
        found: dict[str, Any] = {"caught_up": status.caught_up, "partitions": partitions}
        release = self._shell.release
        if release is not None:
            found["rules"] = {
                "number": release.number,
                "version": release.rules_version,
                "by": release.by,
                "paused": release.paused,
                "switched": list(release.switched),
            }
        return found

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Body and content type of a scrape."""
        return self._shell.gauges.exposition(accept)

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """One customer, if this worker has the partition."""
        number, runner = self._shell.runner_of(customer_id)
        if runner is not None:
            return runner.customer(customer_id)
        if number in self._shell.held or not self._shell.status.assigned:
            raise self._not_yet
        raise self._elsewhere(number, self._shell.held)

    def customers(self, asked: Mapping[str, str], after: str) -> Iterator[dict[str, Any] | None]:
        """The customers of a class in this worker's partitions, one partition after the other; ``None`` in between."""
        if not self._shell.held or any(runner is None for runner in map(self._shell.serving, self._shell.held)):
            raise self._not_yet
        first = self._shell.runner_of(after)[0] if after else -1
        if first not in (-1, *self._shell.held):
            raise self._elsewhere(first, self._shell.held)
        return self._found(asked, after, [number for number in self._shell.held if number >= first])

    def _found(
        self, asked: Mapping[str, str], after: str, partitions: Iterable[int]
    ) -> Iterator[dict[str, Any] | None]:
        for number in partitions:
            runner = self._shell.serving(number)
            if runner is not None:
                yield from runner.find(asked, after)
            after = ""

    def product(self, product_id: str) -> dict[str, Any]:
        """What is known of a product, of which every worker knows the same."""
        runner = self._shell.any_runner()
        if runner is None:
            raise self._not_yet
        return runner.product(product_id)

    def drivers(self) -> dict[str, Any]:
        """What goes along with loyalty and money three months later, of which every worker knows the same."""
        runner = self._shell.any_runner()
        if runner is None:
            raise self._not_yet
        return runner.drivers()
