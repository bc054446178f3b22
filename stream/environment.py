"""Settings as a process is given them: the one place that reads the environment.

Apart from `stream.app`, whose Faust takes a second to import: most commands need settings and no Faust.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.config import SETTINGS, Settings, make_settings
from stream.errors import ConfigurationError

_FILE_PREFIX = "file:"


def read_settings(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from the command line's flags, which win, and the environment's ``WINBACK_…`` variables.

    A flag of ``None`` was not given. A secret may be ``file:/path``: the file's content, without its last line break.

    >>> read_settings({"partitions": 8, "app_id": None}, {"WINBACK_APP_ID": "shop", "WINBACK_PARTITIONS": "2"}).partitions
    8

    Raises:
        ConfigurationError: with every problem; a mistyped variable is one, for it would do nothing in silence.
    """
    known = {row.variable: row for row in SETTINGS}
    problems = []
    values: dict[str, Any] = {}
    for name, given in environ.items():
        if name in known:
            values[known[name].name] = given
        elif name.startswith("WINBACK_"):
            close = difflib.get_close_matches(name, known, n=1)
            problems.append(f"{name}: no such setting" + (f"; did you mean {close[0]}?" if close else ""))
    values |= {name: value for name, value in flags.items() if value is not None}
    for row in SETTINGS:
        value = values.get(row.name)
        if row.help.secret and isinstance(value, str) and value.startswith(_FILE_PREFIX):
            path = Path(value[len(_FILE_PREFIX) :])
            try:
                values[row.name] = path.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{row.name}: can't read {path}: {error}")
    try:
        settings = make_settings(**values)
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    if problems:
        raise ConfigurationError(problems)
    return settings
