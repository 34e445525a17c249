"""`python -m tests.bench`: run the benchmarks; docs/PERFORMANCE.md says what the figures mean."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import arrivals, blocked, drains, limits, peers, scale, standing, web
from tests.bench.harness import BENCHES, FULL_SIZE, SIZES, SMALL, run_all
from tests.bench.machine import describe
from tests.bench.report import as_result, markdown, put_into, text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = (limits, drains, arrivals, blocked, standing, scale, web, peers)  # importing them registers the benches
RESULTS = Path(__file__).with_name("results.json")  # of the run that the document shows
DOCUMENT = Path(__file__).parents[2] / "docs" / "PERFORMANCE.md"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="BENCH", help="all but peers when none is given")
    parser.add_argument("--list", action="store_true", help="name the benches and do nothing else")
    parser.add_argument("--size", choices=SIZES, default=FULL_SIZE.name, help="the goals are about full, the default")
    parser.add_argument("--small", action="store_const", const=SMALL.name, dest="size", help="the same as --size small")
    parser.add_argument("--rounds", type=int, help="instead of as many as the size has")
    parser.add_argument("--peers", action="store_true", help="install other queues and measure them too")
    parser.add_argument("--directory", help="where to write; default: the system's temporary directory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and the machine there")
    parser.add_argument("--add", action="store_true", help="keep what the JSON file has of benches not run now")
    parser.add_argument(
        "--markdown", action="store_true", help="run nothing: put tests/bench/results.json into the docs"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing of the progress")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for and return an exit code."""
    args = parse(argv)
    if args.list:
        for each in BENCHES.values():
            print(f"{each.name:16} {each.about}")
        return 0
    if args.markdown:
        result = json.loads(RESULTS.read_text())
        DOCUMENT.write_text(put_into(DOCUMENT.read_text(), markdown(result)))
        return 0
    unknown = [name for name in args.names if name not in BENCHES]
    if unknown:
        print(f"no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    names = args.names or [name for name in BENCHES if name != peers.NAME]
    if args.peers and peers.NAME not in names:
        names.append(peers.NAME)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    machine = describe(args.size)
    chosen = [BENCHES[name] for name in names]
    rows, machine["file_system"] = run_all(chosen, SIZES[args.size], args.rounds, args.directory, quiet=args.quiet)
    result = as_result(chosen, machine, rows)
    print(text_table(result))
    if args.json is not None:
        if args.add and args.json.exists():
            old = json.loads(args.json.read_text())
            result = {name: {**old, **result}[name] for name in BENCHES if name in old or name in result}
        args.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
