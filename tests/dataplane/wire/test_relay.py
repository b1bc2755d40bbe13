from __future__ import annotations

import pytest

from dataplane.wire.relay import with_model, without_null_usage


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"up","n":1.0}', b'{"model":"route","n":1.0}'),
        (b'{"a":"\\u00e9", "model": "up"}', b'{"a":"\\u00e9", "model": "route"}'),
        # An escaped key is text.
        (
            b'{"model":"up","content":"\\"model\\":\\"up\\""}',
            b'{"model":"route","content":"\\"model\\":\\"up\\""}',
        ),
        (b'{"model" : "up"}', None),
        (b'{"model":"up","x":{"model":"up"}}', None),
        (b'{"model":"other"}', None),
        (b'{"x":1}', None),
    ],
)
def test_the_model_is_replaced_where_it_can_be_told_apart(
    before: bytes, after: bytes | None
) -> None:
    assert after == with_model(before, "up", "route")


def test_the_same_name_changes_nothing() -> None:
    assert b'{"model" : "up"}' == with_model(b'{"model" : "up"}', "up", "up")


def test_names_are_written_as_json() -> None:
    assert b'{"model":"a\\"b"}' == with_model(b'{"model":"up"}', "up", 'a"b')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a":1,"usage":null}', b'{"a":1}'),
        (b'{"a": 1, "usage": null, "b": 2}', b'{"a": 1, "b": 2}'),
        (b'{"usage":null,"a":1}', None),
        (b'{"a":1}', None),
        (b'{"a":1,"usage":null,"b":{"c":1,"usage":null}}', None),
    ],
)
def test_a_null_usage_is_cut_out_where_it_can_be_told_apart(
    before: bytes, after: bytes | None
) -> None:
    assert after == without_null_usage(before)
