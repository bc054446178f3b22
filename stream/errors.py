"""Everything Winback raises on purpose, as one tree.

::

    WinbackError                  base: says what happened, where, and what to do
    ├── ConfigurationError        settings, rule files or column mappings are wrong; all problems at once
    │   ├── CommandError          a command asks for what there isn't
    │   └── RuleFileError         problems inside rule files, each with file, line and column
    ├── StateError                a stored customer record can't be used
    │   ├── NewerVersionError     it was written by a newer Winback
    │   └── StateDirError         the folder of local state is full, damaged or not ours to write
    ├── TransientError            the outside is slow or away; the same work may succeed later
    │   ├── BrokerUnavailable     no Kafka broker answers
    │   └── Fenced                another worker has taken over this partition
    ├── TopicError                a topic is missing, has too few partitions, or was recreated
    ├── PortInUse                 another program listens on a port that is needed
    └── AlreadyRunning            another Winback holds the data folder

A *bad event* is not an exception: decoding returns a ``Rejected`` value that becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class WinbackError(Exception):
    """Base of all errors that Winback raises on purpose.

    ``retriable`` says whether the same call may succeed later without anybody acting;
    ``operator_action`` is what the person who reads the message can do about it.
    """

    retriable: ClassVar[bool] = False
    operator_action: ClassVar[str] = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n  what to do: {self.operator_action}" if self.operator_action else text


class ConfigurationError(WinbackError):
    """Settings or files that a person wrote are wrong. Lists every problem found, not just the first.

    >>> print(ConfigurationError(["partitions: 0 is less than 1", "web_port: 99999 is not a port"]))
    2 problems in the configuration
      - partitions: 0 is less than 1
      - web_port: 99999 is not a port
    """

    headline: ClassVar[str] = "in the configuration"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "".join(f"\n  - {p}" for p in self.problems)
        super().__init__(f"{len(self.problems)} {noun} {self.headline}{lines}")


class CommandError(ConfigurationError):
    """What a command was called with can't be had. Lists every problem, as its base does."""

    headline: ClassVar[str] = "in the command"


class RuleFileError(ConfigurationError):
    """Rule files have mistakes; each problem starts with ``file:line:column``."""

    headline: ClassVar[str] = "in the rule files"


class StateError(WinbackError):
    """A stored customer record can't be decoded: the changelog or the disk is damaged."""

    operator_action: ClassVar[str] = (
        "restore the changelog topic from a backup, or start with another --app-id to build the state anew"
    )


class NewerVersionError(StateError):
    """A stored record was written by a newer Winback, which this one must not guess at."""

    operator_action: ClassVar[str] = "run the version of Winback that wrote the state, or a later one"


class StateDirError(StateError):
    """The folder of local state can't be used: it is full, damaged or not ours to write."""

    operator_action: ClassVar[str] = (
        "make room or give the worker the rights to it, or choose another --state-dir; it may be deleted while no worker "
        "runs, since everything in it is in the changelog too"
    )


class TransientError(WinbackError):
    """The outside is slow or away. The caller waits and tries again."""

    retriable: ClassVar[bool] = True


class BrokerUnavailable(TransientError):
    """No Kafka broker answers at the given address."""

    operator_action: ClassVar[str] = (
        "check --broker, the network and the broker's log; a worker goes on by itself when it answers"
    )


class Fenced(TransientError):
    """Another worker has started the transactional producer of this partition."""

    operator_action: ClassVar[str] = "none: this worker gives the partition up and the other one goes on"


class TopicError(WinbackError):
    """A topic is missing, has the wrong number of partitions, or was recreated under a running state."""

    operator_action: ClassVar[str] = (
        "create or fix the topic as the message says; all input topics need the same number of partitions"
    )


class PortInUse(WinbackError):
    """Another program listens on a port that Winback needs."""

    operator_action: ClassVar[str] = "stop the other program, or choose another port"


class AlreadyRunning(WinbackError):
    """Another Winback process holds the data folder."""

    operator_action: ClassVar[str] = "stop the other process, or choose another --data-dir"
