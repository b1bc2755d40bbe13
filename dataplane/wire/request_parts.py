"""Checks the parts of a message's content: text, images, audio, files, refusals.

Only the form is looked at. Whether an image is what its media type claims is found out where the
bytes are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dataplane.provider import Feature
from dataplane.wire.checks import (
    choice,
    label,
    mapping,
    missing,
    sequence,
    text,
    without_nulls,
    wrong_value,
)

TEXT_ONLY: Final = frozenset({"text"})
USER_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file"})
ASSISTANT_PARTS: Final = frozenset({"text", "refusal"})

_MAX_PARTS: Final = 10_000
_MAX_URL: Final = 8192
_DETAILS: Final = frozenset({"auto", "low", "high", "original"})
_AUDIO_FORMAT: Final = re.compile(r"[a-z0-9]{1,16}")
_DATA_URL: Final = re.compile(
    r"data:[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*;base64,", re.IGNORECASE
)
_IMAGE_DATA_URL: Final = re.compile(r"data:image/[a-z0-9][a-z0-9.+-]*;base64,", re.IGNORECASE)
_DATA_HEAD: Final = 256
"""Characters within which a data URL's payload has begun."""

_HTTP_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def check_parts(
    value: Any, param: str, known: frozenset[str], features: set[Feature]
) -> list[dict[str, Any]]:
    """Check a list of content parts, without null members in the result. Raises RequestRejected.

    known: types that may occur here. features: gets what the parts need of a target.
    """
    parts = []
    for index, entry in enumerate(sequence(value, param, most=_MAX_PARTS)):
        path = f"{param}[{index}]"
        part = without_nulls(mapping(entry, path))
        if "type" not in part:
            raise missing(f"{path}.type")
        kind = choice(part["type"], f"{path}.type", among=known)
        parts.append(_CHECKS[kind](part, path, features))
    return parts


# All checks of parts have one signature, whether or not they need all of it.
def _text(part: dict[str, Any], param: str, _: set[Feature]) -> dict[str, Any]:
    text(_required(part, "text", param), f"{param}.text")
    return part


def _refusal(part: dict[str, Any], param: str, _: set[Feature]) -> dict[str, Any]:
    text(_required(part, "refusal", param), f"{param}.refusal")
    return part


def _image(part: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    path = f"{param}.image_url"
    image = _inner(part, "image_url", param)
    url = text(_required(image, "url", path), f"{path}.url")
    if url[:5].lower() == "data:":
        _check_data_url(url, f"{path}.url", _IMAGE_DATA_URL, "data:image/png;base64,...")
        features.add(Feature.IMAGE_DATA)
    elif len(url) <= _MAX_URL and _HTTP_URL.fullmatch(url):
        features.add(Feature.IMAGE_URL)
    else:
        raise wrong_value(f"{path}.url", f"must be a data URL, or an http URL up to {_MAX_URL}")
    if "detail" in image:
        choice(image["detail"], f"{path}.detail", among=_DETAILS)
    return part | {"image_url": image}


def _audio(part: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    path = f"{param}.input_audio"
    audio = _inner(part, "input_audio", param)
    data = text(_required(audio, "data", path), f"{path}.data")
    if not _is_base64(data):
        raise wrong_value(f"{path}.data", "must be base64")
    spelling = text(_required(audio, "format", path), f"{path}.format")
    if not _AUDIO_FORMAT.fullmatch(spelling):
        raise wrong_value(f"{path}.format", "must be a format like wav or mp3")
    features.add(Feature.AUDIO_INPUT)
    return part | {"input_audio": audio}


def _file(part: dict[str, Any], param: str, features: set[Feature]) -> dict[str, Any]:
    path = f"{param}.file"
    file = _inner(part, "file", param)
    if "file_id" in file:
        label(file["file_id"], f"{path}.file_id")
    elif "file_data" in file:
        data = text(file["file_data"], f"{path}.file_data")
        _check_data_url(data, f"{path}.file_data", _DATA_URL, "data:application/pdf;base64,...")
    else:
        raise wrong_value(path, "must have file_data or file_id")
    if "filename" in file:
        label(file["filename"], f"{path}.filename")
    features.add(Feature.FILE)
    return part | {"file": file}


_CHECKS: Final[Mapping[str, Callable[[dict[str, Any], str, set[Feature]], dict[str, Any]]]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}


def _inner(part: dict[str, Any], key: str, param: str) -> dict[str, Any]:
    return without_nulls(mapping(_required(part, key, param), f"{param}.{key}"))


def _required(fields: Mapping[str, Any], key: str, param: str) -> Any:
    if key not in fields:
        raise missing(f"{param}.{key}")
    return fields[key]


def _check_data_url(url: str, param: str, head: re.Pattern[str], example: str) -> None:
    found = head.match(url[:_DATA_HEAD])
    if not found or not _is_base64(url[found.end() :]):
        raise wrong_value(param, f"must be a data URL like {example}")


def _is_base64(payload: str) -> bool:
    """Tell whether this is padded base64, not empty. Made for megabytes: no loop, no decoding."""
    if not payload or len(payload) % 4 or not payload.isascii():
        return False
    rest = payload.encode("ascii").translate(None, _BASE64)
    return rest in {b"", b"=", b"=="} and payload.endswith(rest.decode("ascii"))
