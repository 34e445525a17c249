"""schema: each one is printed as JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.support import Run


@pytest.mark.parametrize(
    ("what", "key", "value"),
    [
        ("job", "$id", "urn:queuectl:schema:job:1"),
        ("config", "$id", "urn:queuectl:schema:config:1"),
        ("openapi", "openapi", "3.1.0"),
    ],
)
def test_a_schema_is_printed(cli: Run, what: str, key: str, value: str) -> None:
    ran = cli("schema", what)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)[key] == value


def test_another_is_refused_with_the_list(cli: Run) -> None:
    ran = cli("schema", "jobs")
    assert ran.code == 2
    assert "'job', 'config', 'openapi'" in ran.err or "job, config, openapi" in ran.err
