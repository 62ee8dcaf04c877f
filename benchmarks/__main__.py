"""The command: measures, and prints the table of what was reached beside what is to be reached."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import generator, growth, guarded, loading, machine, servers, serving, synthetic
from benchmarks.row import Row, table

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("read", "guarded", "search", "create", "transaction", "load", "start", "growth")
BASE_RESOURCES = 10_000


def main() -> int:
    options = _options()
    chosen = options.only.split(",") if options.only else list(NAMES)
    unknown = set(chosen) - set(NAMES)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
        return 2
    rounds, seconds, bundles = (2, 1.0, 10) if options.quick else (5, 3.0, 100)
    sizes = tuple(int(size) for size in options.growth.split(","))
    if options.quick and options.growth == _GROWTH:
        sizes = (2_000, 20_000)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="fhirserver-benchmarks-"))
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "base.db"
    needs_base = {"read", "guarded", "search", "start"} & set(chosen)
    work: dict[str, Callable[[], list[Row]]] = {
        "read": lambda: serving.read(database, folder, rounds, seconds),
        "guarded": lambda: guarded.read(database, folder, rounds, seconds),
        "search": lambda: serving.search(database, folder, rounds, seconds),
        "create": lambda: serving.create(folder, rounds, seconds),
        "transaction": lambda: loading.transactions(folder, min(rounds, 3), bundles),
        "load": lambda: loading.load(folder, min(rounds, 3), bundles),
        "start": lambda: loading.start(database),
        "growth": lambda: growth.growth(folder, (sizes[0], sizes[-1])),
    }
    rows: list[Row] = []
    try:
        if needs_base:
            file = folder / "base.ndjson.gz"
            synthetic.write(file, BASE_RESOURCES)
            servers.load([file], database)
            servers.pass_over(database)
        for name in NAMES:
            if name in chosen:
                began = time.perf_counter()
                rows += work[name]()
                print(f"{name}: {time.perf_counter() - began:,.0f} s", file=sys.stderr, flush=True)
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(rows, options.markdown))
    print(f"\n{machine.facts(generator.name())}" + ("; quick run" if options.quick else ""))
    return 0


_GROWTH = "10000,1000000"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join(NAMES)}, comma-separated")
    parser.add_argument(
        "--quick", action="store_true", help="less of everything: no result, a look"
    )
    parser.add_argument("--growth", default=_GROWTH, help="resources of the small and large store")
    parser.add_argument("--markdown", action="store_true", help="print the table for the README")
    parser.add_argument("--folder", help="keep the databases here, and use what is there again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
