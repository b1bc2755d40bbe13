"""`switchgear demo`: everything on this machine, and what it does when a server dies."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from switchgear.cli_params import CONTEXT
from switchgear.settings import DEFAULT_LISTEN

if TYPE_CHECKING:
    from switchgear.demo.narrator import Narrator
    from switchgear.demo.stage import Stage

_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(context_settings=CONTEXT)
@click.option(
    "--story",
    is_flag=True,
    help="Go on by itself: traffic, an outage, a live edit, recovery, and a count of all requests. "
    "Takes half a minute; exit code 1 if a request was lost.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65534),
    default=DEFAULT_LISTEN.port,
    help="The data port; the admin API takes the one above. 0 takes free ones.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="a temporary one",
    help="Where model, manifests and logs are written, and kept.",
)
def demo(*, story: bool, port: int, folder: Path | None) -> None:
    """Run everything on this machine: a tiny model, two real llama.cpp servers, the sidecar.

    No account and no download is needed. If the environment holds keys of OpenAI, Mistral,
    Scaleway, OVHcloud or Azure OpenAI, routes to them are added; the keys are referred to by name
    only.
    """
    from switchgear.demo.llama import LlamaError
    from switchgear.demo.narrator import Narrator, wants_colour
    from switchgear.demo.sidecar import SidecarError
    from switchgear.demo.stage import open_stage
    from switchgear.demo.story import StoryError, tell_story

    environment = os.environ  # noqa: TID251 - read once, here
    say = Narrator(sys.stdout, colour=wants_colour(sys.stdout, environment.get("NO_COLOR")))
    try:
        with _signals_interrupt(), ExitStack() as stack:
            if folder is None:
                temporary = tempfile.TemporaryDirectory(prefix="switchgear-demo-")
                folder = Path(stack.enter_context(temporary))
            say.say(
                "Starting a tiny model on two llama.cpp servers, and switchgear before them ..."
            )
            stage = stack.enter_context(
                open_stage(folder.absolute(), port=port, environment=environment)
            )
            _introduce(stage, say)
            if story:
                sys.exit(1 if tell_story(stage, say).lost else 0)
            _wait(stage)
    except (LlamaError, SidecarError, StoryError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        say.say("\nstopped")
        if story:
            sys.exit(130)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """End by any signal as by Ctrl-C; once, so that nothing disturbs the cleaning up."""

    def interrupt(*_: object) -> None:
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _introduce(stage: Stage, say: Narrator) -> None:
    from switchgear.demo.narrator import Tone

    url, admin = stage.sidecar.url, stage.sidecar.admin_url
    say.say("")
    say.say(f"OpenAI-compatible endpoint  {url}/v1", Tone.TITLE)
    say.say(f"admin API                   {admin}/status")
    say.say(f"local-a, local-b            {stage.first.base_url}, {stage.second.base_url}")
    say.say(f"manifests (edit them!)      {stage.manifests}")
    say.say(f"log                         {stage.sidecar.log}")
    say.say("")
    say.say(f"models                      {', '.join(['chat', 'embed', *stage.cloud_models])}")
    say.say("")
    say.say("Call it:", Tone.TITLE)
    say.say(f"  curl -N {url}/v1/chat/completions -H 'content-type: application/json' \\")
    say.say(
        """    -d '{"model": "chat", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'"""
    )
    say.say("")
    say.say("  from openai import OpenAI")
    say.say(f'  client = OpenAI(base_url="{url}/v1", api_key="unused")')
    say.say('  messages = [{"role": "user", "content": "count"}]')
    say.say('  client.chat.completions.create(model="chat", messages=messages, max_tokens=20)')
    say.say("")
    say.say("Look inside:", Tone.TITLE)
    say.say(f"  switchgear get providers --watch --admin {admin}")
    say.say(f"  switchgear explain chat --admin {admin}")
    say.say(f"  switchgear chat chat 'Hello' --url {url}")


def _wait(stage: Stage) -> None:
    from switchgear.demo.sidecar import SidecarError

    click.echo(f"\nTo see fail-over: kill -9 {stage.first.pid}. Ctrl-C ends it all.")
    while stage.sidecar.is_running():
        time.sleep(0.2)
    raise SidecarError(f"switchgear ended by itself; see {stage.sidecar.log}")
