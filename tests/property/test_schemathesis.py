"""Whatever the document allows, and much that it does not: no 500, no answer that is not documented.

Nothing runs meanwhile: no supervisor is started, so the commands that are made up stay files.
"""

from __future__ import annotations

import gc
import warnings
from typing import TYPE_CHECKING

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, settings  # noqa: E402 - what needs it not comes with it
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from queuectl.web import workers  # noqa: E402
from tests.web.support import DOCUMENT, EVERYWHERE, Served  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.support import Jobs

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


def _document() -> dict[str, object]:
    """The document with what it says in words: the refusals that any request may meet, and 404 for a path of none."""
    problem = {"description": "refused", "content": {"application/problem+json": {"schema": {"type": "object"}}}}
    paths = {
        path: {
            method: {**spec, "responses": {**{str(s): problem for s in (*EVERYWHERE, 404)}, **spec["responses"]}}
            for method, spec in methods.items()
        }
        for path, methods in DOCUMENT["paths"].items()
    }
    return {**DOCUMENT, "paths": paths}


schema = schemathesis.openapi.from_dict(_document())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from tests.cli.support import Jobs as Some

    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    some: Jobs = Some(home)
    for state in ("pending", "held", "failed", "completed", "dead", "cancelled"):
        getattr(some, state)(state)
    with Served(home) as web, pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "start_workers", lambda _layout, count, **_: [f"worker-{n}" for n in range(count)])
        yield web


@pytest.fixture(scope="module", autouse=True)
def sockets_that_the_library_leaves() -> Iterator[None]:
    """They are none of ours: collected here, so that no other test is blamed for them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@schema.parametrize()
@settings(max_examples=12, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
def test_every_answer_is_documented(case: schemathesis.Case, served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.token}"}
    reply = case.call(base_url=f"http://{served.host}", headers=headers, timeout=20)
    assert reply.status_code != 500, reply.content
    case.validate_response(reply, checks=CHECKS)
