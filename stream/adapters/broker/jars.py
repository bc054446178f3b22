"""Fetches the jars of Kafka, once, from Maven Central.

``jars.lock`` beside this module names each jar and its SHA-256, so that a first start needs no resolving (nine seconds
of small requests), every machine runs the same code, and a jar that isn't what was locked is refused. What a broker
never loads is left out (`_NOT_NEEDED`). To move to another Kafka version, write the lock anew::

    uv run python -c "from stream.adapters.broker.jars import write_lock; write_lock('4.1.2')"
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream.errors import TransientError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.1.2"
_LOCK = Path(__file__).with_name("jars.lock")
_PARALLEL_DOWNLOADS = 8
"""More overload a slow line (each request has a time-out), fewer leave a fast one idle between the small jars."""
_ATTEMPTS = 3
_NOT_NEEDED = frozenset(
    {
        "argparse4j",  # command line tools
        "commons-beanutils",
        "commons-collections",
        "commons-digester",
        "commons-logging",
        "jackson-dataformat-csv",
        "jackson-dataformat-yaml",
        "jackson-datatype-jdk8",
        "jose4j",  # OAuth
        "jspecify",  # annotations
        "kafka-tools-api",
        "scala-reflect",  # macros, at compile time
        "snakeyaml",
    }
)


class JarsUnavailable(TransientError):
    """The jars of Kafka aren't on this machine yet and can't be fetched."""

    operator_action = (
        "check the network, or name a Maven repository that can be reached with --maven-repository; once fetched, the "
        "jars are kept and no network is needed any more"
    )


class Jar(msgspec.Struct, frozen=True):
    """One line of the lock."""

    coordinate: str
    """``group:artifact:version``"""
    sha256: str

    @property
    def file_name(self) -> str:
        """Name of the file in the cache.

        >>> Jar("org.apache.kafka:kafka-raft:4.1.2", "").file_name
        'kafka-raft-4.1.2.jar'
        """
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked_jars() -> list[Jar]:
    """The jars of the locked version, in the order of the class path."""
    lines = _LOCK.read_text("ascii").splitlines()
    return [Jar(*line.split()) for line in lines if line and not line.startswith("#")]


def fetch_jars(
    folder: Path, repository: str | None = None, progress: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """The class path of a broker; downloads into ``folder`` what isn't there yet, else touches no network.

    Args:
        folder: where the jars are kept; several processes may fill it at once.
        repository: URL of a Maven repository; None: Maven Central.
        progress: called with a sentence after each download.

    Raises:
        JarsUnavailable: a download failed, or what came isn't what is locked.
    """
    jars = locked_jars()
    paths = [folder / jar.file_name for jar in jars]
    missing = [jar for jar, path in zip(jars, paths, strict=True) if not path.exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            maven = _maven(Path(scratch), repository)
            downloads = [pool.submit(_download, maven, jar, folder) for jar in missing]
            try:
                for done, download in enumerate(as_completed(downloads), start=1):
                    download.result()
                    progress(f"fetched {done} of {len(missing)} jars of Apache Kafka {KAFKA_VERSION}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return paths


def _maven(cache: Path, repository: str | None) -> MavenContext:
    from jgo.maven import MavenContext  # a third of a second, and needed once per machine

    return MavenContext(repo_cache=cache, remote_repos={"repository": repository} if repository else None)


def _download(maven: MavenContext, jar: Jar, folder: Path) -> None:
    artifact = maven.create_dependency(jar.coordinate).artifact
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            path = artifact.resolve()
        except (OSError, RuntimeError) as error:  # what jgo raises: requests' errors are OSErrors
            if attempt == _ATTEMPTS:
                raise JarsUnavailable(f"can't download {jar.coordinate}: {error}") from error
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)  # or half a file would count as downloaded
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise JarsUnavailable(f"{jar.coordinate} was downloaded with SHA-256 {found}, but {jar.sha256} is locked")
    path.replace(folder / jar.file_name)


def write_lock(version: str) -> None:
    """Resolve a Kafka version and its dependencies, and write the lock."""
    with tempfile.TemporaryDirectory() as scratch:
        maven = _maven(Path(scratch), None)
        roots, others = maven.resolver.resolve([maven.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")])
        needed = [d for d in roots + others if d.artifactId not in _NOT_NEEDED]
        log4j = next(d.version for d in needed if d.artifactId == "log4j-core")
        needed.append(maven.create_dependency(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"))
        lines = [
            f"{d.groupId}:{d.artifactId}:{d.version} {hashlib.sha256(d.artifact.resolve().read_bytes()).hexdigest()}\n"
            for d in needed
        ]
    _LOCK.write_text(f"# Apache Kafka {version}: written by stream/adapters/broker/jars.py\n" + "".join(lines), "ascii")
