"""Writes parts of content as blocks of the Messages API: texts, images, documents.

Media types are read from the bytes, since the API refuses data that is not what it is said to be.

Source: Anthropic API reference, "Messages" and "Files", read 2026-11-22.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from dataplane.errors import RequestRejected
from dataplane.wire.taken_fields import Fields

Block: TypeAlias = dict[str, Any]

FILES_BETA: Final = "files-api-2025-04-14"
"""What `anthropic-beta` must say before a request may name uploaded files."""

_SNIFFED_CHARACTERS: Final = 32
_TTLS: Final = frozenset({"5m", "1h"})
_PDF: Final = "application/pdf"
_MAX_TITLE: Final = 500


def text_block(text: str) -> Block:
    """Make a text block."""
    return {"type": "text", "text": text}


def text_blocks(content: Any, path: str) -> list[Block]:
    """Write content that may hold text only; blank texts are left out, as the API refuses them."""
    if isinstance(content, list):
        return [
            block
            for at, part in enumerate(content)
            for block in _text_part(part, f"{path}.content[{at}]")
        ]
    if content is None:
        return []
    if not isinstance(content, str):
        raise RequestRejected("content must be a string or a list", param=f"{path}.content")
    return [text_block(content)] if content.strip() else []


def user_blocks(content: Any, path: str, fields: Fields) -> list[Block]:
    """Write the content of a user's message. Raises RequestRejected for what cannot be said."""
    if not isinstance(content, list):
        return text_blocks(content, path)
    written: list[Block] = []
    for at, part in enumerate(content):
        here = f"{path}.content[{at}]"
        match part:
            case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
                if rest.get("detail", "auto") != "auto":
                    fields.warn("dropped:messages.content.image_url.detail")
                block = _image(url, f"{here}.image_url.url")
            case {"type": "file", "file": dict(file)}:
                block = _document(file, f"{here}.file")
            case _:
                written += _text_part(part, here)
                continue
        written.append(_marked(block, part, here))
    return written


def cache_mark(holder: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """Read a cache mark in either spelling. Raises RequestRejected for one that is not in shape."""
    mark = holder.get("cache_control")
    if mark is None:
        return None if holder.get("prompt_cache_breakpoint") is None else {"type": "ephemeral"}
    match mark:
        case {"type": "ephemeral", "ttl": str(ttl)} if ttl in _TTLS:
            return {"type": "ephemeral", "ttl": ttl}
        case {"type": "ephemeral", **rest} if "ttl" not in rest:
            return {"type": "ephemeral"}
        case _:
            raise RequestRejected(
                "cache_control must be of type ephemeral, with a ttl of 5m or 1h if any",
                param=f"{path}.cache_control".removeprefix("."),
                code="invalid_value",
            )


def _marked(block: Block, part: Mapping[str, Any], path: str) -> Block:
    mark = cache_mark(part, path)
    return block if mark is None else {**block, "cache_control": mark}


def _text_part(part: Any, path: str) -> list[Block]:
    """Write a part of text, or nothing if it is blank."""
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return [_marked(text_block(text), part, path)] if text.strip() else []
        case _:
            kind = part.get("type") if isinstance(part, dict) else None
            raise RequestRejected(
                f"content parts of type {kind!r} are not supported by this provider",
                param=f"{path}.type",
                code="unsupported_value",
            )


def _image(url: str, path: str) -> Block:
    if url[:5].lower() != "data:":
        return {"type": "image", "source": {"type": "url", "url": url}}
    payload = url.partition(",")[2]
    kind = _sniffed(payload)
    if not kind.startswith("image/"):
        raise RequestRejected(
            "the image must be a JPEG, PNG, GIF or WebP", param=path, code="invalid_value"
        )
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": payload}}


def _document(file: Mapping[str, Any], path: str) -> Block:
    match file:
        case {"file_id": str(file_id)}:
            block: Block = {"type": "document", "source": {"type": "file", "file_id": file_id}}
        case {"file_data": str(data)}:
            head, _, payload = data.partition(",")
            block = _from_data(head.lower(), payload, f"{path}.file_data")
        case _:
            raise RequestRejected(
                "the part has no file", param=path, code="missing_required_parameter"
            )
    name = file.get("filename")
    if isinstance(name, str) and name and block["type"] == "document":
        block["title"] = name[:_MAX_TITLE]
    return block


def _from_data(head: str, payload: str, path: str) -> Block:
    kind = _sniffed(payload)
    if kind == _PDF:
        return {
            "type": "document",
            "source": {"type": "base64", "media_type": _PDF, "data": payload},
        }
    if kind:
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": payload}}
    if head.startswith("data:text/"):
        try:
            text = binascii.a2b_base64(payload).decode()
        except ValueError as error:
            raise RequestRejected(
                "the file is not text in UTF-8", param=path, code="invalid_value"
            ) from error
        return {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": text},
        }
    raise RequestRejected(
        "the file must be a PDF, a text or an image", param=path, code="unsupported_value"
    )


def _sniffed(payload: str) -> str:
    """Tell the media type by the first bytes of base64; empty for none that the API takes."""
    try:
        head = binascii.a2b_base64(payload[:_SNIFFED_CHARACTERS])
    except ValueError:
        return ""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG"):
        return "image/png"
    if head.startswith(b"GIF8"):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return _PDF if head.startswith(b"%PDF-") else ""
