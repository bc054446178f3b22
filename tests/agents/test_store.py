"""The store of a partition: whatever happens to its disk, disk and changelog together give what the changelog says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from stream.agents.store import DiskStore, MemoryStore, Store
from stream.agents.store_disk import FORMAT, MOST_AGE_MS, Busy, Change, Disk, Marker, Owner
from stream.config import Settings, make_settings
from stream.errors import ConfigurationError, StateDirError, TransientError
from tests.agents.store_writer import OWNER, changelog, feed, folded, folder_of, opened, settings_in

MODES = pytest.mark.parametrize("mode", ["memory", "disk"])


async def filled(settings: Settings, log: list[Change]) -> None:
    """A disk with a log in it, closed in good order."""
    store = await opened(settings, len(log))
    await feed(store, log, random.Random(1))
    await store.close()


async def contents(settings: Settings, end: int, owner: Owner = OWNER) -> tuple[dict[bytes, bytes], int]:
    """What a worker finds at its start, and from which offset of the changelog it goes on."""
    store = await opened(settings, end, owner)
    try:
        return dict(store.items()), store.position
    finally:
        await store.close()


@MODES
@limits(max_examples=20, deadline=None)
@given(st.data())
def test_a_store_is_a_mapping_of_what_was_put(mode: str, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """After every step both kinds of store hold what a dict would, also for keys that are written or gone only later."""
    keys = st.binary(min_size=1, max_size=3)
    steps = data.draw(st.lists(st.dictionaries(keys, st.none() | st.binary(min_size=1, max_size=9)), max_size=6))

    async def scenario() -> None:
        settings = settings_in(tmp_path_factory.mktemp("state"), mode)
        store = await opened(settings, 0)
        expected: dict[bytes, bytes | None] = {}
        for position, step in enumerate(steps, start=1):
            if position == 3:
                await store.close()
                store = await opened(settings, position)
            store.put(step, position)
            expected |= step
            known = {key: value for key, value in expected.items() if value is not None}
            assert known == dict(store.items()) == dict(store)
            assert (len(known), set(known)) == (len(store), set(store.keys()))
            assert all(
                store.get(key) == value and (key in store) == (value is not None) for key, value in expected.items()
            )
        await store.close()

    asyncio.run(scenario())


@MODES
@pytest.mark.parametrize("seed", range(2))
def test_a_killed_writer_leaves_a_state_of_the_past_and_its_offset(mode: str, seed: int, tmp_path: Path) -> None:
    """After `kill -9` at random points the disk is never ahead of its marker: with the changelog from there it is all right.

    The changelog is known in advance, so what the disk should be can be counted without it.
    """
    settings, chance = settings_in(tmp_path, mode), random.Random(seed)
    log = changelog(seed, 350_000, 50_000)
    positions = [0]
    for least_rounds in (0, 2, 1):
        command = [sys.executable, "-m", "tests.agents.store_writer", str(tmp_path), mode, str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            at, markers = chance.randrange(20_000, 70_000) + int(writer.stdout.readline()), set()
            for line in writer.stdout:
                position, marker = map(int, line.split())
                markers.add(marker)
                # A round begins when the one before is on disk.
                if position >= at and len(markers) > least_rounds:
                    break
            writer.kill()
        positions.append(asyncio.run(_position(settings, len(log))))

    async def rest() -> dict[bytes, bytes]:
        store = await opened(settings, len(log))
        for at in range(store.position, len(log), 5_000):
            store.put(dict(log[at : at + 5_000]), min(at + 5_000, len(log)))
        found = dict(store.items())
        await store.close()
        return found

    assert sorted(positions) == positions and 0 < positions[-1] < len(log)
    assert folded(log) == asyncio.run(rest())
    assert (folded(log), len(log)) == asyncio.run(contents(settings, len(log)))


async def _position(settings: Settings, end: int) -> int:
    store = await opened(settings, end)
    await store.close()
    return store.position


@MODES
def test_an_older_disk_that_is_copied_back_is_completed(mode: str, tmp_path: Path) -> None:
    """A copy of the folder from an earlier moment opens at its own offset."""
    settings, log = settings_in(tmp_path / "state", mode), changelog(5, 40_000, 3_000)
    asyncio.run(filled(settings, log[:15_000]))
    shutil.copytree(folder_of(settings), tmp_path / "copy")
    asyncio.run(filled(settings, log))
    shutil.rmtree(folder_of(settings))
    shutil.copytree(tmp_path / "copy", folder_of(settings))

    assert (folded(log[:15_000]), 15_000) == asyncio.run(contents(settings, len(log)))
    asyncio.run(filled(settings, log))
    assert (folded(log), len(log)) == asyncio.run(contents(settings, len(log)))


@MODES
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"partition": 4}, "it belongs to"),
        ({"partitions": 16}, "it belongs to"),
        ({"topic_id": "cd" * 16}, "it belongs to"),
        ({"topic": "other"}, "it belongs to"),
        ({"app_id": "other"}, "it belongs to"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_disk_of_somebody_else_is_thrown_away(
    mode: str, changed: dict[str, Any], says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another partition's, another changelog's, another app's: the log says whose it was, and the changelog is read."""
    settings = settings_in(tmp_path, mode)
    asyncio.run(filled(settings, changelog(1, 500, 50)))
    other = msgspec.structs.replace(OWNER, **changed)
    if other.partition != OWNER.partition:
        folder_of(settings).rename(folder_of(settings, other.partition))

    assert ({}, 0) == asyncio.run(contents(settings, 500, other))
    assert says in caplog.text and "is thrown away" in caplog.text


@MODES
def test_a_disk_beyond_the_changelog_is_thrown_away(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A changelog that ends before what the disk has, or begins after it, is not the one the disk was made from."""
    settings, log = settings_in(tmp_path, mode), changelog(1, 500, 50)
    for beginning, end in ((0, 499), (501, 900)):
        asyncio.run(filled(settings, log))
        store = asyncio.run(_opened_and_closed(settings, end, beginning))
        assert (0, beginning) == store

    assert 2 == caplog.text.count("it goes to offset 500")


async def _opened_and_closed(settings: Settings, end: int, beginning: int) -> tuple[int, int]:
    store = await opened(settings, end, beginning=beginning)
    found = len(store), store.position
    await store.close()
    return found


def _with_marker(settings: Settings, marker: bytes) -> None:
    from rocksdict import Options, Rdict

    db = Rdict(str(folder_of(settings)), Options(raw_mode=True))
    db[b""] = marker
    db.close()


def _marker(**changed: Any) -> bytes:
    fine = Marker(FORMAT, OWNER, 500, int(time.time() * 1000))
    return msgspec.msgpack.encode(msgspec.structs.replace(fine, **changed))


@MODES
@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (_marker(format=FORMAT + 1), f"it has format {FORMAT + 1}, and this Winback knows {FORMAT}"),
        (msgspec.msgpack.encode({"format": 99, "position": "unheard of"}), "it has format 99"),
        (b"\xc1 no marker of ours", "its marker can't be read"),
        (_marker(written_ms=int(time.time() * 1000) - MOST_AGE_MS - 60_000), "deletions since may be forgotten"),
        (_marker(written_ms=int(time.time() * 1000) + 86_400_000), "deletions since may be forgotten"),
    ],
)
def test_a_disk_that_cannot_be_trusted_is_thrown_away(
    mode: str, marker: bytes, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer format, damage, and a disk that was away for so long that the changelog may have forgotten a deletion."""
    settings = settings_in(tmp_path, mode)
    asyncio.run(filled(settings, changelog(1, 500, 50)))
    _with_marker(settings, marker)

    assert ({}, 0) == asyncio.run(contents(settings, 501))
    assert says in caplog.text


def test_an_old_disk_that_lacks_nothing_is_used(tmp_path: Path) -> None:
    """A shop that sleeps for a month loses its disk only if the changelog went on."""
    settings, log = settings_in(tmp_path), changelog(1, 500, 50)
    asyncio.run(filled(settings, log))
    _with_marker(settings, _marker(written_ms=1))

    assert (folded(log), 500) == asyncio.run(contents(settings, 500))


def _flip_a_byte(folder: Path) -> None:
    table = max(folder.glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 0xFF
    table.write_bytes(content)


def _remove_a_table(folder: Path) -> None:
    max(folder.glob("*.sst"), key=lambda file: file.stat().st_size).unlink()


def _cut_the_manifest(folder: Path) -> None:
    with next(folder.glob("MANIFEST-*")).open("r+b") as file:
        file.truncate(40)


@MODES
@pytest.mark.parametrize("harm", [_flip_a_byte, _remove_a_table, _cut_the_manifest])
def test_a_damaged_disk_is_thrown_away(mode: str, harm: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Damage is found at the start, not taken for the end of the data, and the next start has the state again."""
    settings, log = settings_in(tmp_path, mode), changelog(1, 60_000, 20_000)
    asyncio.run(filled(settings, log))
    harm(folder_of(settings))

    async def start() -> dict[bytes, bytes]:
        store = await opened(settings, len(log))
        try:
            # With the customers on disk it is the first look at all of them that finds the damage; the runner tries again.
            return dict(store.items())
        finally:
            await store.close()

    try:
        found = asyncio.run(start())
    except TransientError:
        found = asyncio.run(start())

    assert {} == found
    assert "is thrown away" in caplog.text
    asyncio.run(filled(settings, log))
    assert (folded(log), len(log)) == asyncio.run(contents(settings, len(log)))


@pytest.fixture
def occupied(tmp_path: Path) -> Iterator[Path]:
    """A folder of local state that another process has open."""
    asyncio.run(filled(settings_in(tmp_path), changelog(1, 500, 50)))
    code = "import sys; from rocksdict import Options, Rdict; d = Rdict(sys.argv[1], Options(raw_mode=True)); print(1, flush=True); input()"
    folder = str(folder_of(settings_in(tmp_path)))
    with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        yield tmp_path
        other.kill()


@MODES
def test_a_folder_that_another_process_has_is_waited_for(
    mode: str, occupied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not thrown away. Customers in memory are served without it in the end; those on disk wait."""
    settings, log = settings_in(occupied, mode), changelog(1, 500, 50)
    caplog.set_level(logging.INFO)

    if mode == "disk":
        with pytest.raises(Busy, match="in use by another process"):
            asyncio.run(contents(settings, 500))
    else:
        store = asyncio.run(opened(settings, 500))
        assert ({}, 0) == (store, store.position)
        assert "in use by another process" in store.trouble
    assert "in use by another process; waiting for it" in caplog.text and "thrown away" not in caplog.text
    assert folded(log)


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """A disk on which nothing larger has room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def _failed(store: Store) -> None:
    assert isinstance(store, MemoryStore | DiskStore)
    async with asyncio.timeout(30):
        while store._writer is not None and store._writer.failure is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _incompressible(number: int) -> list[Change]:
    chance = random.Random(1)
    return [(b"c%d" % at, chance.randbytes(300)) for at in range(number)]


def test_a_full_disk_costs_only_the_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the customers in memory the worker goes on, says so, and the next start completes the older copy."""
    settings, log = settings_in(tmp_path), _incompressible(60_000)

    async def scenario() -> None:
        store = await opened(settings, 0)
        store.put(dict(log[:20_000]), 20_000)
        await store.close()
        store = await opened(settings, 20_000)
        with no_file_above(1_000_000):
            for at in range(20_000, 50_000, 1_000):
                store.put(dict(log[at : at + 1_000]), at + 1_000)
                await asyncio.sleep(0)
            await _failed(store)
            store.put(dict(log[50_000:]), 60_000)
            assert dict(log) == store
            assert "no copy on disk" in store.trouble
            await store.close()

    asyncio.run(scenario())
    assert "is not written any more" in caplog.text
    found, position = asyncio.run(contents(settings, 60_000))
    assert dict(log[:position]) == found and 20_000 <= position < 60_000


def test_a_full_disk_stops_a_worker_that_has_nothing_else(tmp_path: Path) -> None:
    """With the customers on disk the step after is refused, and all that was put is readable until the worker has ended."""
    settings, log = settings_in(tmp_path, "disk"), _incompressible(60_000)

    async def scenario() -> None:
        store = await opened(settings, 0)
        with no_file_above(1_000_000):
            for at in range(0, 50_000, 1_000):
                store.put(dict(log[at : at + 1_000]), at + 1_000)
                await asyncio.sleep(0)
            await _failed(store)
            with pytest.raises(StateDirError, match="can't be written.*\n.*make room"):
                store.put(dict(log[50_000:]), 60_000)
            assert all(value == store.get(key) for key, value in log[:50_000])
            await store.close()

    asyncio.run(scenario())


@MODES
def test_a_folder_that_cannot_be_made(mode: str, tmp_path: Path) -> None:
    """A file in its place: customers in memory are served without a copy, those on disk not at all."""
    (tmp_path / "shop").write_text("in the way")
    settings = settings_in(tmp_path, mode)

    if mode == "disk":
        with pytest.raises(StateDirError, match="customers-3"):
            asyncio.run(opened(settings, 0))
    else:
        store = asyncio.run(opened(settings, 7, beginning=7))
        assert (7, True) == (store.position, "no copy on disk" in store.trouble)


def test_customers_on_disk_need_a_folder() -> None:
    """The configuration says what is missing."""
    with pytest.raises(ConfigurationError, match="state_store: disk needs a folder in state_dir"):
        make_settings(state_store="disk")


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is memory alone."""
    monkeypatch.chdir(tmp_path)

    async def scenario() -> Store:
        store = await opened(make_settings(), 500, beginning=20)
        store.put({b"k": b"v"}, 21)
        await store.close()
        return store

    store = asyncio.run(scenario())
    assert ({b"k": b"v"}, 21, "") == (store, store.position, store.trouble)
    assert [] == list(tmp_path.iterdir())


def test_the_disk_gets_slices_and_the_marker_with_the_last(tmp_path: Path) -> None:
    """While a round is written, the marker on disk stays at the former round's end."""
    settings, log = settings_in(tmp_path), changelog(3, 100_000, 40_000)

    async def scenario() -> None:
        store = await opened(settings, len(log))
        assert isinstance(store, MemoryStore) and store._writer is not None
        disk: Disk = store._writer._disk
        seen = set()
        for at in itertools.count(0, 1_000):
            if at >= len(log):
                break
            store.put(dict(log[at : at + 1_000]), at + 1_000)
            await asyncio.sleep(0.01)
            written = dict(disk.items())
            behind = folded(log[: disk.position])
            ahead = {key for key in written | behind if written.get(key) != behind.get(key)}
            assert ahead <= {key for key, _ in log[disk.position :]}
            seen.add(disk.position)
        await store.close()
        assert len(seen) > 2

    asyncio.run(scenario())
