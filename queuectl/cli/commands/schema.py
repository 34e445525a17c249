"""schema: what authors may write, as JSON Schema; what the API takes and gives, as OpenAPI."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Print a schema."""
    if args.what == "openapi":
        import json

        from queuectl.web.routes import document

        screen.json(json.loads(document()))
        return 0
    from queuectl import json_schema

    screen.json(json_schema.job_schema() if args.what == "job" else json_schema.config_schema())
    return 0
