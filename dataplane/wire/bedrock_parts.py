"""Writes content parts as Converse's blocks: texts, images, audio, documents, cache points.

Bytes stay the base64 that they came as. Of an image only the first bytes are looked at: Bedrock
refuses one whose format is not what it is said to be.

Source: Amazon Bedrock API reference, ContentBlock, ImageBlock, DocumentBlock and AudioBlock, read
2026-11-22.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from dataplane.errors import RequestRejected
from dataplane.wire.bedrock_models import BedrockModel, Family
from dataplane.wire.taken_fields import Fields

Block = dict[str, Any]

_MAX_NAME: Final = 200
_SNIFFED_CHARACTERS: Final = 24  # of base64, 18 bytes
_IMAGE_FORMATS: Final = frozenset({"png", "jpeg", "gif", "webp"})
_AUDIO_FORMATS: Final = frozenset(
    {"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a"}
    | {"mpeg", "mpga", "pcm", "webm"}
)
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DOCUMENT_FORMATS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    _WORD: "docx",
    "application/vnd.ms-excel": "xls",
    _SHEET: "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_CACHE_MARKS: Final = ("cache_control", "cachePoint", "prompt_cache_breakpoint")
# All that a document's name may hold.
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")
_SPACES: Final = re.compile(r" {2,}")


class PartWriter:
    """Writes the parts of one request; the names of its documents are told apart."""

    def __init__(self, model: BedrockModel, fields: Fields) -> None:
        self._model = model
        self._fields = fields
        self._names: set[str] = set()

    def write(self, part: Any, path: str) -> list[Block]:
        """Write one part: its block, and a cache point behind it if it asks for one; none if blank.

        Raises RequestRejected with the path of what the model cannot be shown.
        """
        if not isinstance(part, dict):
            raise RequestRejected("a content part must be an object", param=path)
        match part.get("type"):
            case "text" | "refusal" as kind:
                block = text_block(part.get(kind), f"{path}.{kind}")
            case "image_url":
                block = self._image(part.get("image_url"), f"{path}.image_url")
            case "input_audio":
                block = self._audio(part.get("input_audio"), f"{path}.input_audio")
            case "file":
                block = self._document(part.get("file"), f"{path}.file")
            case _:
                reject("unknown type of content part", f"{path}.type", "unsupported_value")
        if block is None:
            return []
        return [block, *self.cache_point(part)]

    def cache_point(self, marked: Mapping[str, Any]) -> list[Block]:
        """Write the cache point that a part or a message asks for, if the model knows them."""
        return cache_point(marked, self._fields, takes=self._model.caches, model=self._model)

    def _image(self, image: Any, path: str) -> Block:
        if not self._model.images:
            reject("this model takes no images", path)
        if isinstance(image, dict):
            if image.get("detail", "auto") != "auto":
                self._fields.warn("dropped:messages.content.image_url.detail")
            image = image.get("url")
        media_type, data = _data_url(image, path, "send images as data URLs: Bedrock fetches none")
        kind = _sniffed(data) or media_type.removeprefix("image/").replace("jpg", "jpeg")
        if not media_type.startswith("image/") or kind not in _IMAGE_FORMATS:
            reject("images must be PNG, JPEG, GIF or WebP", path, "unsupported_value")
        return {"image": {"format": kind, "source": {"bytes": data}}}

    def _audio(self, audio: Any, path: str) -> Block:
        if not self._model.audio:
            reject("this model takes no audio", path)
        match audio:
            case {"data": str(data), "format": str(kind)} if kind in _AUDIO_FORMATS:
                return {"audio": {"format": kind, "source": {"bytes": data}}}
            case _:
                return reject("audio of this format is not supported", path, "unsupported_value")

    def _document(self, file: Any, path: str) -> Block:
        if not self._model.documents:
            reject("this model takes no files", path)
        if not isinstance(file, dict) or "file_data" not in file:
            # Ids belong to whoever issued them.
            reject("send files as file_data: Bedrock keeps none", path)
        media_type, data = _data_url(file["file_data"], f"{path}.file_data", "not a data URL")
        given = file.get("filename")
        filename = given if isinstance(given, str) else ""
        stem, _, ending = filename.rpartition(".")
        kind = _DOCUMENT_FORMATS.get(media_type) or ending.lower()
        if kind not in _DOCUMENT_FORMATS.values():
            reject("files of this type are not supported", path, "unsupported_value")
        name = self._named(stem or filename)
        return {"document": {"format": kind, "name": name, "source": {"bytes": data}}}

    def _named(self, wish: str) -> str:
        """Return a name that Bedrock takes, and that no other document of the request has."""
        name = _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", wish)).strip()[:_MAX_NAME].strip()
        name = name or "document"
        candidate, number = name, 1
        while candidate in self._names:
            number += 1
            tail = f" {number}"
            candidate = name[: _MAX_NAME - len(tail)].rstrip() + tail
        self._names.add(candidate)
        return candidate


def cache_point(
    marked: Mapping[str, Any], fields: Fields, *, takes: bool, model: BedrockModel
) -> list[Block]:
    """Write the cache point that something asks for; none, and a warning, where `takes` is not."""
    mark = next((marked[key] for key in _CACHE_MARKS if marked.get(key)), None)
    if mark is None:
        return []
    if not takes:
        fields.warn("dropped:cache_control")
        return []
    point = {"type": "default"}
    if isinstance(mark, dict) and mark.get("ttl") == "1h" and model.family is Family.CLAUDE:
        point["ttl"] = "1h"
    return [{"cachePoint": point}]


def text_block(text: Any, path: str) -> Block | None:
    """Write a text, or nothing for a blank one, which Bedrock refuses."""
    if not isinstance(text, str):
        raise RequestRejected(f"{path} must be a string", param=path)
    return {"text": text} if text.strip() else None


def reject(message: str, param: str, code: str = "unsupported_parameter") -> NoReturn:
    """Refuse what Bedrock or the model has no word for. Always raises RequestRejected."""
    raise RequestRejected(message, param=param, code=code)


def _data_url(url: Any, path: str, complaint: str) -> tuple[str, str]:
    """Split a data URL into its media type, in lower case, and its base64."""
    if not isinstance(url, str):
        raise RequestRejected(f"{path} must be a string", param=path)
    head, comma, data = url.partition(",")
    head = head.lower()
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        reject(complaint, path)
    return head.removeprefix("data:").partition(";")[0], data


def _sniffed(data: str) -> str:
    """Tell an image's format by its first bytes; empty if they are those of no known one."""
    try:
        head = base64.b64decode(data[:_SNIFFED_CHARACTERS])
    except ValueError:
        return ""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG"):
        return "png"
    if head.startswith(b"GIF8"):
        return "gif"
    return "webp" if head.startswith(b"RIFF") and head[8:12] == b"WEBP" else ""
