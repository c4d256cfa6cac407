"""What a message costs its consumer: CPU, requests and memory, beside a bare aiobotocore loop (R).

A stub SQS on one core, one consumer process on the other, no TLS. Figures are of the consumer alone, from the moment
the queue opens to the last delete. Runs are interleaved; a row shows the median, its least and its most. Peers take
part where they are installed, with a fifth of the messages.

python -m benchmarks.consume [--quick] [--runs N] [--drivers raw,fast,taskiq]
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.consumers import OWN, Work
from benchmarks.figures import table
from benchmarks.peers import PEERS, body, driver, installed
from benchmarks.sqs_stub import ORDER, pin

IDLE_S = 2.0
PEERS_SHARE = 5
_MIB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is in KiB, on macOS in bytes


async def measured(name: str, port: int, messages: int, handler_s: float, workers: int) -> dict[str, Any]:
    """Figures of one run in this process."""
    work = Work(handler_s)
    consuming = asyncio.create_task(driver(name)(f"http://127.0.0.1:{port}", work, workers))
    while not (await ask(port, "/figures"))["requests"].get("ReceiveMessage"):  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.05)
    done = asyncio.create_task(ask(port, "/done"))
    await asyncio.sleep(0.1)
    cpu_s, started = time.process_time(), time.perf_counter()
    await ask(port, "/open", body(name, ORDER))
    await done
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started
    working = await ask(port, "/figures")
    await asyncio.sleep(IDLE_S)
    idle = await ask(port, "/figures")
    assert not consuming.done()
    assert work.done == messages
    requests = sum(working["requests"].values())
    return {
        "cpu_ms": cpu_s * 1e6 / messages,
        "per_s": messages / wall_s,
        "requests": requests / messages,
        "idle": (sum(idle["requests"].values()) - requests) / IDLE_S,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB,
        "in_flight": idle["most_in_flight"],
        "left": messages - idle["deleted"] + idle["held"],
        "twice": idle["duplicate_deletes"],
    }


def rss_mib(pid: int | str = "self") -> float:
    """Of a process now; where the system does not tell, the peak of this one."""
    statm = Path(f"/proc/{pid}/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB


async def ask(port: int, path: str, content: str = "") -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = content.encode()
    writer.write(f"POST {path} HTTP/1.1\r\nHost: stub\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    answer = json.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return answer


def run(name: str, messages: int, latency_ms: float, handler_ms: float, workers: int) -> dict[str, Any]:
    """One run: its own stub, its own consumer process."""
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sqs_stub", str(messages), str(latency_ms)], stdout=subprocess.PIPE
    )
    try:
        assert stub.stdout is not None
        settings = json.dumps([name, int(stub.stdout.readline()), messages, handler_ms / 1000, workers])
        command = [sys.executable, "-m", "benchmarks.consume", "--one", settings]
        figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    finally:
        stub.terminate()
        stub.communicate()
    return figures


def compared(drivers: Sequence[str], runs: int, messages: int, *scenario: Any) -> str:
    """A table of medians; every driver runs once before the next round begins."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in drivers}
    for _ in range(runs):
        for name in drivers:
            share = messages // PEERS_SHARE if name in PEERS else messages
            figures[name].append(run(name, share, *scenario))
    base = figures.get("raw") or figures[drivers[0]]
    head = ["consumer", "CPU ms/1,000", "least..most", "x R", "msg/s", "x R", "req/msg", "idle req/s", "peak RSS MiB",
            "in flight", "left", "deleted twice"]  # fmt: skip
    return table(head, [_row(name, figures[name], base) for name in drivers])


def _row(name: str, runs: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> list[str]:
    def median(figure: str, of: Sequence[dict[str, Any]] = runs) -> float:
        return float(statistics.median(figures[figure] for figures in of))

    cpu = [figures["cpu_ms"] for figures in runs]
    return [
        name,
        f"{median('cpu_ms'):.0f}",
        f"{min(cpu):.0f}..{max(cpu):.0f}",
        f"{median('cpu_ms') / median('cpu_ms', base):.2f}",
        f"{median('per_s'):.0f}",
        f"{median('per_s') / median('per_s', base):.2f}",
        f"{median('requests'):.3f}",
        f"{median('idle'):.2f}",
        f"{median('rss_mib'):.0f}",
        *(f"{max(figures[figure] for figures in runs)}" for figure in ("in_flight", "left", "twice")),
    ]


async def one(*scenario: Any) -> None:
    """A run in this process; figures on standard output."""
    print(json.dumps(await measured(*scenario)), flush=True)
    # Nobody waits for the long poll that is under way.
    os._exit(0)


@click.command()
@click.option("--messages", default=20_000, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--quick", is_flag=True, help="A tenth of the messages, three runs.")
@click.option("--drivers", default=",".join((*OWN, *installed())), show_default=True)
@click.option("--one", "single", hidden=True)
def main(messages: int, runs: int, quick: bool, drivers: str, single: str | None) -> None:
    """Compare consumers of SQS."""
    if single:
        pin(1)
        asyncio.run(one(*json.loads(single)))
        return
    if missing := sorted(PEERS.keys() - installed()):
        click.echo(f"Not installed, so not compared: {', '.join(missing)}\n")
    messages, runs = (messages // 10, 3) if quick else (messages, runs)
    names = drivers.split(",")
    if unknown := sorted(set(names) - {*OWN, *installed()}):
        raise click.BadParameter(f"no such consumer here: {', '.join(unknown)}", param_hint="--drivers")
    click.echo(f"A handler that does nothing, {messages} messages, {runs} runs")
    click.echo(compared(names, runs, messages, 0, 0, 100))
    slow = max(messages // 7, 1_000)
    click.echo(f"\nA handler that waits 20 ms, 8 ms to each answer of SQS, {slow} messages, {runs} runs")
    click.echo(compared(names, runs, slow, 8, 20, 100))


if __name__ == "__main__":
    main()
