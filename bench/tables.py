"""The tables of a run, in Markdown; pure. What was not measured has no table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plans
from figures import differences, shown, shown_spread, spread
from record import DIRECT
from routes import TRANSLATED
from run import Run


def all_tables(run: Run) -> Iterator[str]:
    """Write the lines of all that were measured, each under its heading."""
    for section in (_unary, _streams, _translated, _latency, _memory, _growth, _instructions):
        yield from section(run)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write a table of the rows that have a figure; nothing if none has."""
    told = [row for row in rows if any(cell != "-" for cell in row[1:])]
    if not told:
        return
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " + "| ---: " * (len(heads) - 1) + "|"
    for row in told:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _by_candidate(
    run: Run, columns: dict[str, str], *, compared: Sequence[str] = (), direct: bool = False
) -> Iterator[str]:
    """Write a row a candidate; columns: metric -> head; compared: those with a ratio beside them.

    What was not measured has no column.
    """
    names = ([DIRECT] if direct else []) + list(run.names)
    columns = {
        metric: head
        for metric, head in columns.items()
        if any(run.rounds(metric, name) for name in names)
    }
    heads = [""]
    for metric, head in columns.items():
        heads += [head, "times ours"] if metric in compared else [head]
    rows = []
    for name in names:
        row = [name]
        for metric in columns:
            row.append(shown_spread(run.rounds(metric, name)))
            if metric in compared:
                ratio = None if name == DIRECT else run.ratio(metric, name)
                row.append("-" if ratio is None else "1" if name == run.base else shown(ratio))
        rows.append(row)
    yield from table(heads, rows)


def _unary(run: Run) -> Iterator[str]:
    if run.has("unary.cpu_us"):
        yield "## CPU for a request of 2 KB"
        yield ""
        yield f"Closed loop, bodies of {plans.BODY_BYTES:,} bytes, whole answers of 1 KB, 32 connections."
        yield "*direct* is what callers and upstream reach without anything between them."
        yield ""
        columns = {
            "unary.cpu_us": "CPU, us",
            "unary.busy": "of one CPU",
            "unary.rps": "requests/s",
            "unary.p99_ms": "p99, ms",
        }
        yield from _by_candidate(run, columns, compared=["unary.cpu_us"], direct=True)
        for name in run.ours:
            kept = spread(run.rounds("unary.spans_kept", name))
            if kept is not None:
                yield (
                    f"{name}: {kept.median:.1%} of the spans of these runs reached the collector"
                    f" ({kept.low:.1%} to {kept.high:.1%}); what it takes to send them is counted."
                )
                yield ""
    if run.has("long.cpu_us"):
        yield "## CPU for a request of 200 KB"
        yield ""
        yield "The same on 8 connections:"
        yield ""
        columns = {"long.cpu_us": "CPU, us", "long.rps": "requests/s"}
        yield from _by_candidate(run, columns, compared=["long.cpu_us"])


def _streams(run: Run) -> Iterator[str]:
    if not run.has("burst.event_us", "spaced.event_us"):
        return
    yield "## CPU for an event of a stream"
    yield ""
    yield f"Streams of {run.plan.events} events of text, then finish, usage and `[DONE]`; each is a write"
    yield "of the upstream. *Spaced*: 10 streams at once, 5 ms between events: the price of one event."
    if run.has("burst.event_us"):
        yield "*Burst*: 8 streams at once, as fast as they are taken: how many events share a read"
        yield "decides, and who reads sooner shares less."
    yield "Divided by what the upstream sent. Switchgear keeps the opening of a stream until its first"
    yield "content, here 5 ms later: till then it can still move to another target, and what others"
    yield "hand on at once is no word of the answer."
    yield ""
    columns = {
        "spaced.event_us": "spaced, us",
        "burst.event_us": "burst, us",
        "spaced.first_ms": "first event spaced, p50 ms",
        "spaced.events": "events delivered",
    }
    yield from _by_candidate(run, columns, compared=["spaced.event_us", "burst.event_us"])


def _translated(run: Run) -> Iterator[str]:
    if not run.has(f"{TRANSLATED[0]}.unary.cpu_us"):
        return
    yield "## Translated formats"
    yield ""
    yield "The caller speaks OpenAI's format and the upstream its own: Ollama's lines of JSON,"
    yield "Anthropic's events, Bedrock's binary frames, with each request signed. *Above*: what it"
    yield "takes more than through the same proxy from an upstream of OpenAI's format."
    yield ""
    rows = [
        [f"{name}: {form}", *_translated_cells(run, name, form)]
        for name in run.names
        if any(run.rounds(f"{form}.unary.cpu_us", name) for form in TRANSLATED)
        for form in ("openai", *TRANSLATED)
    ]
    yield from table(["", "request, us", "above", "spaced event, us", "above"], rows)


def _translated_cells(run: Run, name: str, form: str) -> Iterator[str]:
    for metric in ("unary.cpu_us", "spaced.event_us"):
        own = run.rounds(f"{form}.{metric}", name)
        yield shown_spread(own)
        more = spread(differences(own, run.rounds(f"openai.{metric}", name)))
        yield "-" if more is None else "0" if form == "openai" else f"{more.median:+.1f}"


def _latency(run: Run) -> Iterator[str]:
    if not run.has(*(f"open.{rate}.p50_ms" for rate in plans.RATES)):
        return
    yield "## Latency added"
    yield ""
    yield "Open loop: requests are due at a steady rate and counted from when they were due. *Added*:"
    yield "p50 less the p50 of the same round straight to the upstream."
    yield ""
    for rate in plans.RATES:
        yield f"At {rate} requests a second:"
        yield ""
        columns = {
            f"open.{rate}.p50_ms": "p50, ms",
            f"added.{rate}": "added, ms",
            f"open.{rate}.p99_ms": "p99, ms",
            f"open.{rate}.max_ms": "slowest, ms",
            f"open.{rate}.cpu_us": "CPU for a request, us",
        }
        yield from _by_candidate(run, columns, compared=[f"added.{rate}"], direct=True)


def _memory(run: Run) -> Iterator[str]:
    if run.has("start.s"):
        yield "## Start and idle memory"
        yield ""
        yield "Megabytes are 10^6 bytes, children included."
        yield ""
        columns = {
            "start.s": "to the first answer, s",
            "start.cpu_s": "CPU until then, s",
            "idle.rss_mb": "idle RSS, MB",
            "idle.pss_mb": "idle PSS, MB",
            "idle.part_mb": "its largest child, MB",
        }
        yield from _by_candidate(run, columns, compared=["start.s", "idle.rss_mb"])
    if run.has("loaded.rss_mb"):
        yield "## Memory after load"
        yield ""
        yield f"A new process; then {run.plan.load:,} requests of 2 KB, {run.plan.load // 50:,} of 200 KB,"
        yield f"and {run.plan.many:,} streams at once. Portkey and LiteLLM get a twentieth of each."
        yield ""
        columns = {
            "fresh.rss_mb": "before, RSS, MB",
            "loaded.rss_mb": "after, RSS, MB",
            "loaded.pss_mb": "after, PSS, MB",
            "loaded.part_mb": "its largest child, MB",
        }
        yield from _by_candidate(run, columns, compared=["loaded.rss_mb"])


def _growth(run: Run) -> Iterator[str]:
    plan = run.plan
    sweeps = (
        ("CPU for a request by connections, us", "connections.{}.cpu_us", plan.connections),
        ("p50 by connections, ms", "connections.{}.p50_ms", plan.connections),
        ("RSS after these, once, MB", "connections.{}.rss_mb", plan.connections),
        ("CPU for a request by bytes of its body, us", "body.{}.cpu_us", plan.bodies),
        ("CPU for an event by events of a burst, us", "length.{}.event_us", plan.lengths),
        ("CPU for a request by routes, us", "routes.{}.cpu_us", plan.routes),
        ("time to the first answer by routes, s", "routes.{}.start_s", plan.routes),
        ("RSS by routes, MB", "routes.{}.rss_mb", plan.routes),
        ("time until a new route is live by routes, s", "routes.{}.live_s", plan.routes),
        ("slowest answer meanwhile, ms", "routes.{}.stall_ms", plan.routes),
    )
    if not run.has(*(metric.format(step) for _, metric, steps in sweeps for step in steps)):
        return
    yield "## Growth"
    yield ""
    yield "Medians. Routes are those in the manifests; they mean nothing to others."
    yield ""
    for words, metric, steps in sweeps:
        rows = []
        for name in run.names:
            found = [spread(run.rounds(metric.format(step), name)) for step in steps]
            rows.append([name, *("-" if one is None else shown(one.median) for one in found)])
        yield from table([words, *(f"{step:,}" for step in steps)], rows)


def _instructions(run: Run) -> Iterator[str]:
    if not run.has("instructions.request"):
        return
    yield "## Instructions for a request of 2 KB"
    yield ""
    yield f"Of the process, not of the kernel, over {run.plan.counted:,} requests under valgrind's"
    yield "callgrind, spans sent included. It does not move with the machine's noise."
    yield ""
    columns = {"instructions.request": "instructions"}
    yield from _by_candidate(run, columns, compared=["instructions.request"])
