"""Reading settings from flags, environment and secret files."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.agents.connection import client_options
from stream.environment import read_settings
from stream.errors import ConfigurationError


def test_flags_win_over_the_environment() -> None:
    """A flag that was not given leaves the environment's value."""
    settings = read_settings({"partitions": 8, "app_id": None}, {"WINBACK_PARTITIONS": "2", "WINBACK_APP_ID": "shop"})

    assert (8, "shop") == (settings.partitions, settings.app_id)


def test_every_mistake_is_told_at_once() -> None:
    """A mistyped variable, a wrong value and a missing secret file, with a suggestion."""
    environ = {
        "WINBACK_PARTITONS": "2",
        "WINBACK_CHURN_THRESHOLD": "7",
        "WINBACK_WEB_TOKEN": "file:/nowhere/token",
        "HOME": "/root",
    }

    with pytest.raises(ConfigurationError) as caught:
        read_settings({}, environ)

    text = str(caught.value)
    assert "did you mean WINBACK_PARTITIONS?" in text
    assert "churn_threshold: 7.0 is not between 0 and 1" in text
    assert "can't read /nowhere/token" in text


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    """Without the line break at its end, and only for settings that are secrets."""
    (tmp_path / "password").write_text("p ss\n")
    environ = {
        "WINBACK_KAFKA_SASL_PASSWORD": f"file:{tmp_path}/password",
        "WINBACK_KAFKA_SASL_USERNAME": "file:me",
        "WINBACK_KAFKA_SECURITY": "sasl_plaintext",
    }

    options = client_options(read_settings({}, environ))

    assert "p ss" == options["sasl_plain_password"]
    assert "file:me" == options["sasl_plain_username"]
    assert "SASL_PLAINTEXT" == options["security_protocol"]
