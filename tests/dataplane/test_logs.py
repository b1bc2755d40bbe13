from __future__ import annotations

import io
import logging
import os
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane import codec
from dataplane.errors import RequestRejected
from dataplane.logs import (
    JsonFormatter,
    LogFormat,
    TextFormatter,
    configure,
    unconfigure,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_number_of_the_process_is_in_every_line_also_of_text() -> None:
    line = record(status=200)

    assert "said it worker=3 status=200" in TextFormatter({"worker": 3}).format(line)
    assert 3 == codec.decode_object(JsonFormatter({"worker": 3}).format(line).encode())["worker"]


def record(**fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("dataplane.x", logging.INFO, "", 0, "said %s", ("it",), None)
    made.created = 1_790_000_000.25
    made.msecs = 250.0
    if fields:
        made.fields = fields
    return made


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.TEXT])
def test_reader_that_is_too_slow_is_told_what_it_missed(log_format: LogFormat) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out, os.fdopen(reader, "rb", buffering=0) as pipe:
        handler = configure(log_format, out)
        logger = logging.getLogger("dataplane.something")
        for _ in range(2000):
            logger.info("x" * 100)
        pipe.read(1 << 20)
        logger.info("again")
        told, last = pipe.read(1 << 20).decode().splitlines()[-2:]
        unconfigure(handler)

    assert re.search(r"\d+ lines were dropped here: the reader of the log was too slow", told)
    assert "again" in last


@pytest.mark.parametrize(
    ("log_format", "out", "as_text"),
    [
        (LogFormat.AUTO, Terminal(), True),
        (LogFormat.AUTO, io.StringIO(), False),
        (LogFormat.JSON, Terminal(), False),
        (LogFormat.TEXT, io.StringIO(), True),
    ],
)
def test_terminals_get_text_and_all_else_json(
    log_format: LogFormat, out: io.StringIO, as_text: bool
) -> None:
    handler = configure(log_format, out)
    unconfigure(handler)

    assert as_text == isinstance(handler.formatter, TextFormatter)


def test_others_are_heard_from_warning(stream: io.StringIO) -> None:
    logging.getLogger("asyncio.something").info("chatter")
    logging.getLogger("asyncio.something").warning("trouble")
    logging.getLogger("dataplane.something").info("ours")

    messages = [
        codec.decode_object(line)["message"] for line in stream.getvalue().encode().splitlines()
    ]
    assert ["trouble", "ours"] == messages


def test_unconfigured_is_as_before() -> None:
    before = list(logging.getLogger().handlers)

    unconfigure(configure(LogFormat.JSON, io.StringIO()))

    assert before == logging.getLogger().handlers
    assert logging.NOTSET == logging.getLogger("dataplane").level


def test_text_is_for_people() -> None:
    line = TextFormatter().format(record(model="gpt 4", path=("a:429", "b:served"), route=""))

    assert '2026-09-21T14:13:20.250Z INFO said it model="gpt 4" path=a:429,b:served' == line


@pytest.mark.parametrize("model", ["x\n2026 INFO forged", "x\x1b[31m", "x\u2028y", "\u202eevil"])
def test_what_a_caller_chose_cannot_forge_a_line(model: str) -> None:
    text = TextFormatter().format(record(model=model))
    as_json = JsonFormatter().format(record(model=model))

    assert text.isprintable()
    assert 1 == len(as_json.split("\n"))
    assert model == codec.decode_object(as_json.encode())["model"]


@given(text=st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_makes_one_line(text: str) -> None:
    """Surrogate escapes included: a line is never lost to an encoding error."""
    as_json = JsonFormatter().format(record(model=text))
    as_text = TextFormatter().format(record(model=text))

    assert codec.decode_object(as_json.encode())["message"] == "said it"
    assert as_text.encode().decode().isprintable()


def failed(error: Exception) -> logging.LogRecord:
    made = record()
    try:
        raise error  # noqa: TRY301 - it needs a traceback
    except Exception as raised:  # noqa: BLE001 - any will do
        made.exc_info = (type(raised), raised, raised.__traceback__)
    return made


def test_foreign_exception_shows_its_type_and_place_only() -> None:
    error = ValueError("canary")

    as_json = codec.decode_object(JsonFormatter().format(failed(error)).encode())
    text = TextFormatter().format(failed(error))

    assert "ValueError" == as_json["exception"]
    assert as_json["stack"][0].endswith(" failed")
    assert "ValueError\n  " in text
    assert "canary" not in f"{as_json}{text}"


def test_our_own_exception_shows_its_words() -> None:
    """Their messages never hold bodies, headers or secrets."""
    as_json = codec.decode_object(JsonFormatter().format(failed(RequestRejected("no"))).encode())

    assert "RequestRejected: no" == as_json["exception"]


def test_fields_that_are_no_mapping_are_ignored() -> None:
    made = record()
    made.fields = "surprise"

    assert "surprise" not in JsonFormatter().format(made)
