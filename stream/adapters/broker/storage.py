"""Formats a node's data folder as ``kafka-storage.sh format`` does, without the seconds that its JVM takes.

A KRaft node wants two files before its first start: ``meta.properties`` (who it is) and ``bootstrap.checkpoint`` (the
feature levels that the controller writes first into the cluster's metadata; without it Kafka would fall back to feature
level 0 of transactions and groups). The second is one Kafka record batch of FeatureLevelRecords, each framed as
version 1, API key 12, record version 0 (KIP-746, ``FeatureLevelRecord.json``).
"""

from __future__ import annotations

import base64
import re
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream.errors import ConfigurationError

FEATURE_LEVELS = {
    "metadata.version": 27,
    "eligible.leader.replicas.version": 1,
    "group.version": 1,
    "transaction.version": 2,
}
"""What ``kafka-storage.sh format`` of the locked Kafka version writes (27 is 4.1-IV1). Raise them with the version."""


def format_nodes(folders: Sequence[Path]) -> None:
    """Make sure that each folder is a formatted Kafka log directory, all of one cluster; node ids count from 1.

    Folders already formatted stay as they are.

    Raises:
        ConfigurationError: the data there belongs to a cluster of another size.
    """
    parent = folders[0].parent
    wanted = [folder.name for folder in folders]
    present = sorted(path.name for path in parent.glob("node-*") if path.is_dir())
    formatted = [name for name in present if (parent / name / "meta.properties").exists()]
    if formatted and present != wanted:
        raise ConfigurationError(
            [f"nodes: {parent} holds the data of {len(present)} node(s), not {len(wanted)}; choose another folder"]
        )
    for folder in folders:  # all of them before any is formatted, so that the check above survives a crash in between
        folder.mkdir(exist_ok=True)
    cluster = next((_cluster_id(parent / name) for name in formatted), _random_id())
    for node, folder in enumerate(folders, start=1):
        if folder.name not in formatted:
            _format(folder, node, cluster)


def _format(folder: Path, node: int, cluster: str) -> None:
    (folder / "bootstrap.checkpoint").write_bytes(bootstrap_checkpoint())
    draft = folder / "meta.properties.draft"  # renamed last: a crash before leaves a folder that isn't formatted
    draft.write_text(f"version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={_random_id()}\n", "ascii")
    draft.rename(folder / "meta.properties")


def bootstrap_checkpoint() -> bytes:
    r"""The metadata records of a new cluster.

    >>> checkpoint = bootstrap_checkpoint()
    >>> b"transaction.version\x00\x02" in checkpoint
    True
    """
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=4_096,
    )
    for offset, (name, level) in enumerate(FEATURE_LEVELS.items()):
        compact_name = bytes([len(name) + 1]) + name.encode("ascii")
        record = struct.pack(">bbb", 1, 12, 0) + compact_name + struct.pack(">hb", level, 0)
        batch.append(offset, timestamp=0, key=None, value=record, headers=[])
    return bytes(batch.build())


def _cluster_id(folder: Path) -> str:
    found = re.search(r"^cluster\.id=(\S+)$", (folder / "meta.properties").read_text("utf-8"), re.MULTILINE)
    return found[1] if found else _random_id()


def _random_id() -> str:
    """A Kafka uuid: base64url, 22 characters; no leading dash, which Kafka's tools take for an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")).startswith("-"):
        pass
    return text
