"""The story: traffic runs, a server is killed, a manifest is edited, the server comes back.

Each step waits for what it tells of, and fails if it does not come. At the end each request is
accounted for.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from switchgear import client
from switchgear.cli_chat import stream_chat
from switchgear.demo import manifests
from switchgear.demo.narrator import Narrator, Tone
from switchgear.demo.stage import Stage
from switchgear.demo.traffic import Result, Totals, Traffic, Verdict, ask
from switchgear.demo.watch import BreakerWatch, Sight
from switchgear.tables import flight

# How long a step waits for what it tells of, which usually comes far sooner.
PATIENCE_S: Final = 12.0
_CALLERS: Final = 4
_LOOK_S: Final = 0.02
# How long traffic runs undisturbed, at the start and between events.
_CALM_S: Final = 1.5

_BROKEN: Final = manifests.route("typo", "typo", "PriorityWithFallback", ["local-c"])


class StoryError(RuntimeError):
    """Something that the story tells of did not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    stage: Stage
    patience_s: float
    say: Narrator
    traffic: Traffic
    breaker: BreakerWatch


def tell_story(stage: Stage, say: Narrator, *, patience_s: float = PATIENCE_S) -> Totals:
    """Tell it, and return the count. Raises StoryError, ClientError.

    patience_s: how long each step waits at most.
    """
    sidecar = stage.sidecar
    _answer(stage, say)
    traffic = Traffic(sidecar.url, manifests.CHAT_MODEL, callers=_CALLERS)
    with BreakerWatch(sidecar.admin_url, manifests.FIRST) as breaker:
        scene = _Scene(
            stage=stage, patience_s=patience_s, say=say, traffic=traffic, breaker=breaker
        )
        traffic.start()
        try:
            _calm(scene)
            _outage(scene)
            _edit(scene)
            _bad_edit(scene)
            _recovery(scene)
        finally:
            traffic.stop()
    totals = traffic.totals()
    losses = [
        f"{result.detail} ({_path(scene, result)})"
        for result in traffic.results()
        if result.verdict is Verdict.LOST
    ]
    reckon(totals, losses, say)
    return totals


def _answer(stage: Stage, say: Narrator) -> None:
    say.step("A streamed answer, from a real llama.cpp server through the sidecar")
    say.piece("   > Hello\n   ")
    payload = {
        "model": manifests.CHAT_MODEL,
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
    }
    headers, took_s = stream_chat(stage.sidecar.url, payload, say.piece)
    say.piece("\n")
    provider = headers.get("x-switchgear-provider")
    say.tell(f"{provider} answered, the whole stream took {took_s * 1000:.0f} ms", Tone.QUIET)


def _calm(scene: _Scene) -> None:
    scene.say.step(f"Steady traffic: {_CALLERS} callers, plain and streamed requests in turn")
    scene.say.tell(
        "The model counts, so each answer is known and is compared to the last letter.", Tone.QUIET
    )
    time.sleep(_CALM_S)
    results = scene.traffic.results()
    if not results:
        raise StoryError("no request was answered")
    overhead_ms = statistics.median(
        request["overheadMs"] for request in _get(scene, "/requests?limit=256")["requests"]
    )
    scene.say.tell(
        f"{len(results)} requests so far: {_shares(results)}; half of them spent less than "
        f"{overhead_ms:.1f} ms in the sidecar"
    )


def _outage(scene: _Scene) -> None:
    say, first = scene.say, scene.stage.first
    seen, sights = len(scene.traffic.results()), len(scene.breaker.sights())
    say.step(f"kill -9 {first.pid}: {manifests.FIRST} dies in the middle of it")
    log_bytes = _log_bytes(scene)
    killed_s = time.monotonic()
    first.kill()

    moved = _await_result(
        scene, seen, lambda r: r.provider == manifests.SECOND, "a request that failed over"
    )
    opened = _await_state(scene, "open", sights)
    skipped = _await_result(
        scene,
        len(scene.traffic.results()),
        lambda r: r.provider == manifests.SECOND and r.attempts == 1,
        "a request that skipped the open target",
    )
    reason = f", last error: {opened.error}" if opened.error else ""
    _tell_in_order(
        scene,
        killed_s,
        [
            (moved.at_s, _flight(scene, moved)),
            (opened.at_s, f"breaker of {manifests.FIRST}: open{reason}"),
            (skipped.at_s, _flight(scene, skipped)),
        ],
    )
    _show_log(scene, log_bytes)
    interrupted = sum(r.verdict is Verdict.INTERRUPTED for r in scene.traffic.results(seen))
    if interrupted:
        say.tell(
            f"{_streams(interrupted)} had begun to speak when it died. Answers are never spliced: "
            "the caller got an error event, and asked again.",
            Tone.QUIET,
        )


def _edit(scene: _Scene) -> None:
    scene.say.step("A manifest is edited while all this goes on: a new route, `quick`")
    added = manifests.route("quick", "quick", "LeastBusy", [manifests.FIRST, manifests.SECOND])
    edited_s = time.monotonic()
    (scene.stage.manifests / "quick.yaml").write_text(added)

    _await(
        scene,
        lambda: _get(scene, "/status").get("routes"),
        lambda routes: any(route["name"] == "quick" for route in routes or []),
        "the new route",
    )
    took_s = time.monotonic() - edited_s
    result = ask(scene.stage.sidecar.url, "quick", 10, stream=True)
    if result.verdict is not Verdict.ANSWERED:
        raise StoryError(f"the new route did not answer: {result.detail}")
    scene.say.tell(
        f"in force {took_s * 1000:.0f} ms after the file was written; its first answer: "
        f"{_path(scene, result)}"
    )


def _bad_edit(scene: _Scene) -> None:
    scene.say.step("A bad edit: a route to a provider that does not exist")
    broken = scene.stage.manifests / "typo.yaml"
    broken.write_text(_BROKEN)
    problems = _await(
        scene,
        lambda: _get(scene, "/status").get("problems"),
        bool,
        "a report of the broken manifest",
    )
    problem = next((p for p in problems if "local-c" in str(p.get("message"))), problems[0])
    scene.say.tell(
        f"{problem.get('file')}:{problem.get('line')}: {problem.get('object')}: "
        f"{problem.get('path')}: {problem.get('message')}",
        Tone.BAD,
    )
    scene.say.tell("Reported, and traffic goes on by what was good.", Tone.QUIET)
    broken.unlink()


def _recovery(scene: _Scene) -> None:
    say = scene.say
    seen, sights = len(scene.traffic.results()), len(scene.breaker.sights())
    say.step(f"{manifests.FIRST} comes back, at the same port")
    log_bytes = _log_bytes(scene)
    started_s = time.monotonic()
    scene.stage.first.start()
    back_s = time.monotonic()
    trial = _await_result(
        scene, seen, lambda r: r.provider == manifests.FIRST, "a trial request to the server"
    )
    closed = _await_state(scene, "closed", sights)
    _tell_in_order(
        scene,
        started_s,
        [
            (back_s, f"the server is up, pid {scene.stage.first.pid}"),
            (trial.at_s, _flight(scene, trial)),
            (closed.at_s, f"breaker of {manifests.FIRST}: closed"),
        ],
    )
    _show_log(scene, log_bytes)
    time.sleep(_CALM_S)
    last = scene.traffic.results()[-20:]
    say.tell(f"the last {len(last)} requests: {_shares(last)}")


def reckon(totals: Totals, losses: Sequence[str], say: Narrator) -> None:
    """Tell the count; losses: what became of each lost request.

    Raises StoryError if more streams broke than a server that is killed once can have had.
    """
    say.step("The count")
    say.tell(f"{totals.sent:6} requests sent")
    say.tell(f"{totals.answered:6} answered in full, each compared to the last letter", Tone.GOOD)
    if totals.interrupted:
        say.tell(f"{totals.interrupted:6} interrupted in mid-stream, told so, and asked again")
    say.tell(f"{totals.lost:6} lost", Tone.BAD if totals.lost else Tone.GOOD)
    for loss in losses:
        say.tell(f"       lost: {loss}", Tone.BAD)
    if totals.interrupted > _CALLERS:
        raise StoryError("more streams broke than the killed server can have had at once")


def _shares(results: Any) -> str:
    counts = Counter(result.provider or "nobody" for result in results)
    return ", ".join(f"{provider} answered {n}" for provider, n in counts.most_common())


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"


def _flight(scene: _Scene, result: Result) -> str:
    kind = "a streamed" if result.stream else "a plain"
    took_ms = result.took_s * 1000
    return f"{kind} request: {_path(scene, result)}, {took_ms:.0f} ms, {result.verdict}"


def _tell_in_order(scene: _Scene, since_s: float, events: Sequence[tuple[float, str]]) -> None:
    for at_s, text in sorted(events):
        scene.say.tell(f"+{at_s - since_s:5.2f} s   {text}")


def _log_bytes(scene: _Scene) -> int:
    return scene.stage.sidecar.log.stat().st_size


def _show_log(scene: _Scene, since_bytes: int) -> None:
    """Show what the sidecar itself wrote of the first server since then, without its clock."""
    log = scene.stage.sidecar.log.read_bytes()[since_bytes:].decode(errors="replace")
    for line in log.splitlines():
        _, _, text = line.partition(" ")
        if f"breaker of {manifests.FIRST} " in text or f"provider {manifests.FIRST} " in text:
            scene.say.tell(f"log: {text}", Tone.QUIET)


def _path(scene: _Scene, result: Result) -> str:
    """Tell where a request went, by the admin API; by its headers if it is no longer kept."""
    for request in _get(scene, "/requests?limit=256").get("requests") or []:
        if request.get("id") == result.request_id:
            return flight(request.get("path") or [])
    before = f"{result.fallback} > " if result.fallback else ""
    return f"{before}{result.provider or 'nobody'}"


def _get(scene: _Scene, path: str) -> dict[str, Any]:
    match client.get_json(scene.stage.sidecar.admin_url + path):
        case dict() as answer:
            return answer
        case _:
            raise StoryError(f"the admin API's {path} is not an object")


def _await_state(scene: _Scene, state: str, since: int) -> Sight:
    sight = scene.breaker.wait_for(state, since=since, timeout_s=scene.patience_s)
    if sight is None:
        seen = [s.state for s in scene.breaker.sights()]
        raise StoryError(
            f"the breaker did not become {state} in {scene.patience_s:g} s; it was {seen}"
        )
    return sight


def _await_result(scene: _Scene, since: int, wanted: Callable[[Result], bool], what: str) -> Result:
    def found() -> Result | None:
        answered = (r for r in scene.traffic.results(since) if r.verdict is Verdict.ANSWERED)
        return next(filter(wanted, answered), None)

    result: Result = _await(scene, found, bool, what)
    return result


def _await(scene: _Scene, look: Callable[[], Any], done: Callable[[Any], bool], what: str) -> Any:
    deadline_s = time.monotonic() + scene.patience_s
    while not done(value := look()):
        if time.monotonic() > deadline_s:
            raise StoryError(f"{what} did not come in {scene.patience_s:g} s")
        time.sleep(_LOOK_S)
    return value
