"""A changelog that is known in advance, and a store that is fed from it.

As a program it fills a store until it is killed: ``python -m tests.agents.store_writer FOLDER MODE SEED``. It prints the
offset at which it begins and the one after each step, and to where the disk's marker is.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from stream.agents.store import Store, open_store
from stream.agents.store_disk import Change, Owner
from stream.config import Settings, make_settings

OWNER = Owner(app_id="shop", topic="shop-customers-changelog", topic_id="ab" * 16, partition=3, partitions=8)


def settings_in(folder: Path, mode: str = "memory") -> Settings:
    """Settings with local state."""
    return make_settings(app_id="shop", state_dir=str(folder), state_store=mode)


def folder_of(settings: Settings, partition: int = 3) -> Path:
    """Where a partition's disk is."""
    return Path(settings.state_dir) / settings.app_id / f"customers-{partition}"


def changelog(seed: int, number: int, keys: int) -> list[Change]:
    """Random changes, a few of them deletions."""
    chance = random.Random(seed)
    return [
        (b"c%d" % chance.randrange(keys), None if chance.random() < 0.05 else b"%d " % at * chance.randrange(1, 30))
        for at in range(number)
    ]


def folded(changes: list[Change]) -> dict[bytes, bytes]:
    """The state after some changes: a plain re-count."""
    state: dict[bytes, bytes] = {}
    for key, value in changes:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


MOST_BEHIND = 80_000
"""Offsets that the disk may lag behind: more than the round that is written and the one that fills up meanwhile."""


async def opened(settings: Settings, end: int, owner: Owner = OWNER, beginning: int = 0) -> Store:
    """The store as a worker opens it."""
    return await open_store(settings, owner, beginning=beginning, end=end)


async def feed(store: Store, log: list[Change], chance: random.Random) -> None:
    """Puts the rest of the log in, step by step, as transactions would."""
    while store.position < len(log):
        step = log[store.position : store.position + chance.randrange(1, 2000)]
        store.put(dict(step), store.position + len(step))
        await store.room()
        writer = store._writer
        assert writer is not None
        print(store.position, writer._disk.position, flush=True)
        for _ in range(20):
            # As often as a worker's transaction lets others run.
            await asyncio.sleep(0)
        while store.position - writer._disk.position > MOST_BEHIND and writer.failure is None:
            # On a busy machine the disk would be left behind, and the log be over before anything is on it.
            writer._round_done.clear()
            await writer._round_done.wait()


async def main(folder: str, mode: str, seed: int) -> None:
    """Goes on where the disk is, up to the end of the changelog, and waits."""
    log = changelog(seed, 350_000, 50_000)
    store = await opened(settings_in(Path(folder), mode), len(log))
    print(store.position, flush=True)
    await feed(store, log, random.Random())
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
