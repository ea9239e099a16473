"""What a call of a model costs through the gateway, everything switched on, beside a bare proxy and peers.

    python -m benchmarks gateway [--seconds 5] [--litellm PYTHON] [--portkey FOLDER]

The client and the model's server run on the first core, what is measured on the second. CPU time per answer is the
figure to trust on a machine that others use, too; rates and times depend on who else is running. The machine needs
two cores, `wrk`, `taskset` and, for the limit, `nginx`. A peer is measured where it is named: LiteLLM by the Python of
an environment that has `litellm[proxy]`, Portkey by a folder with `node_modules/@portkey-ai/gateway`.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.gateway.driving import Rated, as_fast_as_it_goes, at_a_rate, in_streams
from benchmarks.gateway.standing import Standing, litellm, nginx, ours, portkey, upstream

_ON = "key, header protocol, policy (R01-R18), label with a look for personal data, budgets, metering, receipt"


def main() -> int:
    """Print the table, each figure beside its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--portkey", type=Path)
    options = parser.parse_args()
    missing = [program for program in ("wrk", "taskset", "nginx") if shutil.which(program) is None]
    if missing or (os.cpu_count() or 1) < 2:
        print(f"not measured: this needs two cores and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        return 0
    busy = f"load {os.getloadavg()[0]:.1f}"
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, {busy}, Python {platform.python_version()}")
    print(f"switched on in ours: {_ON}; one worker")
    with (
        tempfile.TemporaryDirectory(prefix="bastide-gateway-", ignore_cleanup_errors=True) as place,
        upstream() as port,
    ):
        folder = Path(place)
        direct = Standing("direct, no gateway", port, [], {}, "fixed")
        base = at_a_rate(direct, 1000, options.seconds)
        print(f"{'direct':22} p50 {base.p50_ms:.2f} p99 {base.p99_ms:.2f} ms at 1,000/s; pieces " + _ages(direct))
        for standing in _all(folder, port, options):
            _measure(standing, folder, options.seconds, base)
    return 0


def _all(folder: Path, port: int, options: argparse.Namespace) -> Iterator[Standing]:
    with nginx(folder / "nginx", port) as standing:
        yield standing
    with ours(folder, port) as (standing, ready):
        print(f"ours, role gateway: ready {ready:.2f} s after its start (target 1.5), {_weight(standing)}")
        yield standing
        print(f"{'':22} {_weight(standing)} after all of this", flush=True)
    with ExitStack() as stack:
        if options.portkey:
            yield stack.enter_context(portkey(options.portkey, port))
    with ExitStack() as stack:
        if options.litellm:
            yield stack.enter_context(litellm(options.litellm, folder, port))


def _measure(standing: Standing, folder: Path, seconds: int, base: Rated) -> None:
    runs = [as_fast_as_it_goes(standing, folder, seconds, stream=False, connections=64) for _ in range(3)]
    best = min(runs, key=lambda run: run.cpu_us)
    print(
        f"{standing.name:22} {max(run.a_second for run in runs):8.0f} answers/s, {best.cpu_us:6.1f} us CPU each"
        + (f" (and {best.beside_us:.0f} us in sequencer and database)" if standing.beside else ""),
        flush=True,
    )
    try:
        stream = as_fast_as_it_goes(standing, folder, seconds, stream=True, connections=16)
        print(f"{'':22} {stream.cpu_us:8.0f} us CPU a stream of 100 pieces at once", flush=True)
    except AssertionError as fault:  # of a peer: it is told, and the others are measured all the same
        print(f"{'':22} no streams: {str(fault).splitlines()[0]}", flush=True)
    try:
        print(f"{'':22} at 1,000/s {_added(at_a_rate(standing, 1000, seconds), base)}", flush=True)
        print(f"{'':22} pieces " + _ages(standing), flush=True)
        if standing.beside:
            with standing.alone():
                seen = at_a_rate(standing, 1000, min(seconds, 4))
            standing.settle()
            print(f"{'':22} the same while nothing of it shares the client's core: {_added(seen, base)}", flush=True)
    except (TimeoutError, OSError, AssertionError) as fault:
        print(f"{'':22} not at 1,000/s: {fault}", flush=True)


def _added(seen: Rated, base: Rated) -> str:
    added = f"p50 {seen.p50_ms - base.p50_ms:.2f} ms, p99 {seen.p99_ms - base.p99_ms:.2f} ms"
    return f"added {added}, {seen.cpu_us:.0f} us CPU each"


def _weight(standing: Standing) -> str:
    shared, own = standing.memory_mb()
    return f"{shared:.0f} MB a worker (PSS; target 60), {own:.0f} of them its own"


def _ages(standing: Standing) -> str:
    seen = in_streams(standing, 100)
    cost = f", {seen.cpu_us:.1f} us CPU each, {seen.kilobytes:.0f} kB a stream" if standing.pids else ""
    return f"p50 {seen.p50_ms:.2f} p99 {seen.p99_ms:.2f} ms old with 100 streams of 100/s{cost}"


if __name__ == "__main__":
    sys.exit(main())
