"""Writes the figures of a run: for people in Markdown, for programs in JSON; pure.

A ratio is always what the other one takes, divided by what Switchgear takes with every request
traced: above 1 Switchgear takes less, below 1 more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import plans
from candidates import BARE, OURS
from figures import differences, ratios, shown, shown_spread, spread
from goals import judge
from record import DIRECT, Record
from routes import TRANSLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that is told of a run.

    versions: by name, of what was measured. ours: which of them are Switchgear, traced.
    absent: by name, how what was not there is installed.
    about: the machine, its noise, the revision, by name.
    """

    plan: plans.Plan
    versions: Mapping[str, str]
    ours: Sequence[str]
    absent: Mapping[str, str]
    about: Mapping[str, str]
    record: Record

    @property
    def base(self) -> str:
        """Whom the others are compared with: the first Switchgear that there is."""
        names = [*self.ours, *(f"{name}-off" for name in self.ours), *self.versions]
        return next((name for name in names if name in self.versions), OURS)


def document(run: Run) -> str:
    """Write all rounds as JSON: metric -> candidate -> rounds, null where there was no figure."""
    return json.dumps(asdict(run), indent=1, sort_keys=True) + "\n"


def markdown(run: Run) -> str:
    """Write all that is told of it."""
    return _joined(
        _head(run), _goals(run), *_tables(run), _losses(run), _problems(run), _method(run)
    )


def brief(run: Run) -> str:
    """Write what a terminal needs: the goals and the tables."""
    return _joined(_goals(run), *_tables(run), _problems(run))


def _joined(*blocks: Iterator[str]) -> str:
    return "\n".join(line for block in blocks for line in block).rstrip() + "\n"


def _tables(run: Run) -> Sequence[Iterator[str]]:
    return (
        _unary(run),
        _streams(run),
        _translated(run),
        _latency(run),
        _memory(run),
        _growth(run),
    )


def _goals(run: Run) -> Iterator[str]:
    for name in run.ours:
        verdicts = judge(run.record, name)
        if not verdicts:
            continue
        yield f"## Goals: {name}"
        yield ""
        yield "What Switchgear takes, divided by what the other takes in the same round, or as it is."
        yield ""
        yield from _table(
            ["", "at most", "wished", "was", ""],
            [[one.text, one.most, one.wished, one.was, one.verdict] for one in verdicts],
        )


def losses(run: Run) -> Sequence[tuple[str, str, float]]:
    """List what others do for less than Switchgear: (what, who, ratio), the worst first."""
    found = []
    for metric, words in _COMPARED.items():
        for name in _names(run):
            if name in _switchgears(run):
                continue
            ratio = _ratio(run, metric, name)
            if ratio is not None and ratio < 1:
                found.append((words, name, ratio))
    return sorted(found, key=lambda loss: loss[2])


_COMPARED: Mapping[str, str] = {
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


def _rounds(run: Run, metric: str, name: str) -> Sequence[float | None]:
    return run.record.rounds(metric, name)


def _switchgears(run: Run) -> Sequence[str]:
    return [*run.ours, *(f"{name}-off" for name in run.ours), OURS, f"{OURS}-off"]


def _measured(run: Run, *metrics: str) -> bool:
    return any(run.record.series.get(metric) for metric in metrics)


def _names(run: Run) -> Sequence[str]:
    return list(run.versions)


def _ratio(run: Run, metric: str, name: str) -> float | None:
    """Divide what `name` takes by what the base takes, round by round; the median."""
    found = spread(ratios(_rounds(run, metric, name), _rounds(run, metric, run.base)))
    return None if found is None else found.median


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
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
    run: Run, columns: Mapping[str, str], *, compared: Sequence[str] = (), direct: bool = False
) -> Iterator[str]:
    """Write a row a candidate; columns: metric -> head; compared: those with a ratio beside them."""
    heads = [""]
    for metric, head in columns.items():
        heads += [head, "ratio"] if metric in compared else [head]
    rows = []
    for name in ([DIRECT] if direct else []) + list(_names(run)):
        row = [name]
        for metric in columns:
            row.append(shown_spread(_rounds(run, metric, name)))
            if metric in compared:
                ratio = None if name == DIRECT else _ratio(run, metric, name)
                row.append("-" if ratio is None else "1" if ratio == 1 else shown(ratio))
        rows.append(row)
    yield from _table(heads, rows)


def _head(run: Run) -> Iterator[str]:
    yield "# What Switchgear costs beside others"
    yield ""
    yield f"Written by `make bench{'-full' if run.plan.name == 'full' else ''}`; not edited by hand."
    yield "Figures are medians of rounds, with the lowest and the highest round. Ratios are what the"
    yield f"other takes, divided by what *{run.base}* takes in the same round: above 1 Switchgear takes"
    yield "less, below 1 it takes more. Ratios are the result; absolute figures are the machine's."
    yield ""
    yield from _table(["", "version"], [[name, text] for name, text in run.versions.items()])
    yield from _table(["", ""], [[name, text] for name, text in run.about.items()])
    for name, how in run.absent.items():
        yield f"* **{name} was left out**: it is not installed ({how})."
    yield ""


def _unary(run: Run) -> Iterator[str]:
    yield "## CPU for a request"
    yield ""
    yield f"Closed loop, whole answers of 1 KB. Requests of {plans.BODY_BYTES:,} bytes on 32 connections;"
    yield "*direct* is what the callers and the upstream reach without anything between them:"
    yield ""
    columns = {
        "unary.cpu_us": "CPU, us",
        "unary.busy": "its CPU in use",
        "unary.rps": "requests/s",
        "unary.p99_ms": "p99, ms",
    }
    yield from _by_candidate(run, columns, compared=["unary.cpu_us"], direct=True)
    yield from _bars(run, "unary.cpu_us", "us of CPU for a request")
    yield "Requests of 200,000 bytes on 8 connections:"
    yield ""
    columns = {"long.cpu_us": "CPU, us", "long.rps": "requests/s"}
    yield from _by_candidate(run, columns, compared=["long.cpu_us"])
    kept = spread(_rounds(run, "unary.spans_kept", OURS))
    if kept is not None:
        yield (
            f"{OURS}: {kept.median * 100:.1f} % of the spans of these runs reached the collector"
            f" ({kept.low * 100:.1f} to {kept.high * 100:.1f} %); what is lost is dropped from a"
            " full queue. What it takes to send them is counted."
        )
        yield ""


def _bars(run: Run, metric: str, unit: str) -> Iterator[str]:
    """Draw medians, on a scale on which ten times as much is ten letters more."""
    found = {name: spread(_rounds(run, metric, name)) for name in _names(run)}
    medians = {name: one.median for name, one in found.items() if one is not None}
    if not medians:
        return
    least = min(medians.values())
    width = max(map(len, medians))
    yield "```text"
    for name, median in sorted(medians.items(), key=lambda pair: pair[1]):
        yield f"{name:{width}} {'#' * _letters(median / least)} {shown(median)}"
    yield f"{'':{width}} {unit}; ten letters more are ten times as much"
    yield "```"
    yield ""


def _letters(times: float) -> int:
    letters, step = 1, 10**0.1
    while times >= step:
        times /= step
        letters += 1
    return letters


def _streams(run: Run) -> Iterator[str]:
    if "burst.event_us" not in run.record.series:
        return
    yield "## CPU for an event of a stream"
    yield ""
    yield f"Streams of {run.plan.events} events of text, then finish, usage and `[DONE]`; each is a write"
    yield "of the upstream. *Spaced*: 10 streams at once, 5 ms between events: the price of one event."
    yield "*Burst*: 8 streams at once, as fast as they are taken: how many events share a read"
    yield "decides, and who reads sooner shares less. Divided by what the upstream sent. Switchgear keeps"
    yield "the opening of a stream until its first content, here 5 ms later: till then it can still move"
    yield "to another target, and what others hand on at once is no word of the answer."
    yield ""
    columns = {
        "spaced.event_us": "spaced, us",
        "burst.event_us": "burst, us",
        "spaced.first_ms": "first event spaced, p50 ms",
        "spaced.events": "events delivered",
    }
    yield from _by_candidate(run, columns, compared=["spaced.event_us", "burst.event_us"])


def _translated(run: Run) -> Iterator[str]:
    if f"{TRANSLATED[0]}.burst.cpu_us" not in run.record.series:
        return
    yield "## Translated formats"
    yield ""
    yield "The caller speaks OpenAI's format and the upstream its own. *Above pass-through*: what an"
    yield "event of text takes more than through the same proxy from an upstream of OpenAI's format."
    yield ""
    rows = [
        [f"{name}: {form}", *_translated_cells(run, name, form)]
        for name in _names(run)
        if any(_rounds(run, f"{form}.unary.cpu_us", name) for form in TRANSLATED)
        for form in ("openai", *TRANSLATED)
    ]
    heads = [
        *("", "request, us", "spaced event, us", "above pass-through"),
        *("burst event, us", "above pass-through"),
    ]
    yield from _table(heads, rows)


def _translated_cells(run: Run, name: str, form: str) -> Iterator[str]:
    yield shown_spread(_rounds(run, f"{form}.unary.cpu_us", name))
    for kind in ("spaced", "burst"):
        own = _rounds(run, f"{form}.{kind}.cpu_us", name)
        passed = _rounds(run, f"openai.{kind}.cpu_us", name)
        yield shown_spread([None if one is None else one / run.plan.events for one in own])
        if form == "openai" or len(own) != len(passed):
            yield "-" if form != "openai" else "0"
            continue
        more = spread(differences(own, passed))
        yield "-" if more is None else f"{more.median / run.plan.events:+.1f}"


def _latency(run: Run) -> Iterator[str]:
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
            f"open.{rate}.cpu_us": "CPU for a request, us",
        }
        yield from _by_candidate(run, columns, compared=[f"added.{rate}"], direct=True)


def _memory(run: Run) -> Iterator[str]:
    if "start.s" not in run.record.series and "loaded.rss_mb" not in run.record.series:
        return
    yield "## Memory and start"
    yield ""
    yield "Megabytes are 10^6 bytes, children included. *After load*: once, after all rounds above."
    yield ""
    columns = {
        "start.s": "to the first answer, s",
        "start.cpu_s": "CPU until then, s",
        "idle.rss_mb": "idle RSS, MB",
        "idle.pss_mb": "idle PSS, MB",
        "loaded.rss_mb": "RSS after load, MB",
    }
    compared = ["start.s", "idle.rss_mb", "loaded.rss_mb"]
    yield from _by_candidate(run, columns, compared=compared)


def _growth(run: Run) -> Iterator[str]:
    if not run.plan.growth_rounds:
        return
    yield "## Growth"
    yield ""
    yield from _sweep(
        run, "CPU for a request by connections, us", "connections.{}.cpu_us", run.plan.connections
    )
    yield from _sweep(run, "p50 by connections, ms", "connections.{}.p50_ms", run.plan.connections)
    yield from _sweep(run, "RSS after these, MB", "connections.{}.rss_mb", run.plan.connections)
    yield from _sweep(
        run, "CPU for a request by bytes of its body, us", "body.{}.cpu_us", run.plan.bodies
    )
    yield from _sweep(
        run, "CPU for an event by events of a burst, us", "length.{}.event_us", run.plan.lengths
    )
    yield "Routes in the manifests, for those that have routes:"
    yield ""
    yield from _sweep(run, "CPU for a request, us", "routes.{}.cpu_us", run.plan.routes)
    yield from _sweep(run, "to the first answer, s", "routes.{}.start_s", run.plan.routes)
    yield from _sweep(run, "idle RSS, MB", "routes.{}.rss_mb", run.plan.routes)


def _sweep(run: Run, words: str, metric: str, steps: Sequence[int]) -> Iterator[str]:
    rows = []
    for name in _names(run):
        found = [spread(_rounds(run, metric.format(step), name)) for step in steps]
        rows.append([name, *("-" if one is None else shown(one.median) for one in found)])
    yield from _table([words, *(f"{step:,}" for step in steps)], rows)


def _losses(run: Run) -> Iterator[str]:
    yield "## Where others take less"
    yield ""
    found = losses(run)
    rows = [[words, name, shown(ratio)] for words, name, ratio in found]
    if rows:
        yield "| what | who | of what Switchgear takes |"
        yield "| --- | --- | ---: |"
        for row in rows:
            yield "| " + " | ".join(row) + " |"
    else:
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
    yield "* Switchgear runs as installed, both planes in one process, with a line of log a request;"
    yield "  its limits of connections are raised for the sweep. Traced: all requests, two spans each,"
    yield "  OTLP over HTTP to the upstream's port. The upstream answers under another model name than"
    yield "  it was asked for, as hosted ones do, so each answer and event is relabelled."
    yield "* Peers run with one worker and without logs of requests. LiteLLM: production mode, no"
    yield "  database, no key, no retries. Portkey: headless; its streams need a preload that copies the"
    yield "  headers of answers, or it answers each 500. Envoy: `--concurrency 1`. nginx: one worker,"
    yield f"  no buffering, upstream keep-alive. {BARE}: one handler, no checks, no log, no spans."
    yield "* nginx and Envoy pass bytes on: they read no JSON, choose no model and rewrite nothing."
    yield "* p99 of a machine that others use says little; p50 and ratios do."
