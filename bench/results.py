"""Writes what came out of a run for people, in Markdown; pure.

A ratio in a table is what the other one takes, divided by what Switchgear takes with every request
traced: above 1 Switchgear takes less, below 1 more. Goals are told the other way round, since that
is how they are set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from figures import shown
from goals import judge
from plots import PLOTS
from run import Run
from tables import all_tables, table

_COMPARED = {
    "unary.cpu_us": "CPU for a request of 2 KB",
    "long.cpu_us": "CPU for a request of 200 KB",
    "spaced.event_us": "CPU for an event, 5 ms apart",
    "burst.event_us": "CPU for an event of a burst",
    "added.50": "latency added at 50 requests a second",
    "added.500": "latency added at 500 requests a second",
    "open.50.cpu_us": "CPU for a request at 50 a second",
    "idle.rss_mb": "memory when idle",
    "loaded.rss_mb": "memory after load",
    "start.s": "time to the first answer",
}


def markdown(run: Run, plots: Sequence[str] = ()) -> str:
    """Write all that is told of it; plots: the names of those that are in the folder `plots`."""
    return _joined(
        _head(run),
        _goals(run),
        _plots(plots),
        all_tables(run),
        _losses(run),
        _problems(run),
        _method(run),
    )


def brief(run: Run) -> str:
    """Write what a terminal needs: the goals and the tables."""
    return _joined(_goals(run), all_tables(run), _problems(run))


def losses(run: Run) -> Sequence[tuple[str, str, float]]:
    """List what others do for less than Switchgear: (what, who, ratio), the worst first."""
    found = []
    for metric, words in _COMPARED.items():
        for name in run.rivals:
            ratio = run.ratio(metric, name)
            if ratio is not None and ratio < 1:
                found.append((words, name, ratio))
    return sorted(found, key=lambda loss: loss[2])


def _joined(*blocks: Iterator[str]) -> str:
    return "\n".join(line for block in blocks for line in block).rstrip() + "\n"


def _head(run: Run) -> Iterator[str]:
    yield "# What Switchgear costs beside others"
    yield ""
    yield f"Written by `make bench{'-full' if run.plan.name == 'full' else ''}`; not edited by hand."
    yield "Figures are medians of rounds, with the lowest and the highest round. *Times ours* is what"
    yield f"the other takes, divided by what *{run.base}* takes in the same round: above 1 Switchgear"
    yield "takes less, below 1 it takes more. Ratios are the result; absolute figures are the machine's."
    yield ""
    yield from table(["", "version"], [[name, text] for name, text in run.versions.items()])
    yield from table(["", ""], [[name, text] for name, text in run.about.items()])


def _goals(run: Run) -> Iterator[str]:
    for name in run.ours:
        verdicts = judge(run.record, name)
        if not verdicts:
            continue
        yield f"## Goals: {name}"
        yield ""
        yield "What Switchgear takes, divided by what the other takes in the same round, or as it is."
        yield ""
        rows = [[one.text, one.most, one.wished, one.was, one.verdict] for one in verdicts]
        yield from table(["", "at most", "wished", "was", ""], rows)


def _plots(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"![{PLOTS[name]}](plots/{name}.svg)"
        yield ""


def _losses(run: Run) -> Iterator[str]:
    if not run.has(*_COMPARED):
        return
    yield "## Where others take less"
    yield ""
    found = losses(run)
    heads = ["what", "who", "of what Switchgear takes"]
    yield from table(heads, [[words, name, shown(ratio)] for words, name, ratio in found])
    if not found:
        yield "Nowhere in this run."
        yield ""


def _problems(run: Run) -> Iterator[str]:
    yield "## What failed or was left out"
    yield ""
    lines = [
        *(f"failed: {' '.join(line.split())[:400]}" for line in run.record.failures),
        *(f"left out: {line}" for line in run.record.left_out),
        *(f"left out: {name}, not installed ({how})" for name, how in run.absent.items()),
    ]
    yield from (f"* {line}" for line in lines or ["Nothing."])
    yield ""


def _method(run: Run) -> Iterator[str]:
    plan = run.plan
    yield "## Method"
    yield ""
    yield f"* Plan `{plan.name}`: {plan.rounds} rounds, {plan.start_rounds} of starts, {plan.growth_rounds}"
    yield f"  of sweeps; {plan.seconds} s a closed loop, {plan.open_s} s an open one, warmed up for"
    yield f"  {plan.warm_s} s. All candidates are up at once and take turns within each scenario, and"
    yield "  each round begins with another one."
    yield "* Callers and upstream are C programs on one CPU, candidates have the others. All traffic is"
    yield "  on loopback, without TLS."
    yield "* CPU is what the kernel counted for the process and its children, user and system, divided"
    yield "  by the exact number of requests sent. A run with a request that was not answered well"
    yield "  gives no figure."
    yield "* Switchgear runs as it is shipped, its request path compiled unless its version says"
    yield "  otherwise, both planes in one process, with a line of log a request;"
    yield "  its limits of connections are raised for the sweep, and for instructions and the sweep over"
    yield "  routes the re-reading of unchanged manifests is put off. Traced: all requests, two spans each,"
    yield "  OTLP over HTTP to a collector in the upstream's process, which takes and forgets them. The"
    yield "  upstream answers under another model name than it was asked for, as hosted ones do, so"
    yield "  each answer and event is relabelled."
    yield "* Peers run with one worker and without logs of requests. LiteLLM: production mode, no"
    yield "  database, no key, no retries. Portkey: headless; its streams need a preload that copies the"
    yield "  headers of answers, or it answers each 500. Envoy: `--concurrency 1`. nginx: one worker,"
    yield "  no buffering, upstream keep-alive. bare: one aiohttp handler, no checks, no log, no spans."
    yield "* nginx and Envoy pass bytes on: they read no JSON, choose no model and rewrite nothing."
    yield "* p99 and the slowest answer of a machine that others use say little; p50 and ratios do."
