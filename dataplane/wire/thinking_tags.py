"""Takes reasoning out of a text whose model writes it there, between `<think>` tags.

Servers with a reasoning parser give it apart. Where one is missing, an operator may have it split
here; it is never done unasked, since a text may speak of the tags.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


class ThinkTags(Enum):
    """What is done about the tags.

    SPLIT: a text that begins with the opening tag is split. BEGUN: the text is reasoning from its
    first letter on, as the templates of some models have the opening tag in the prompt.
    """

    KEPT = auto()
    SPLIT = auto()
    BEGUN = auto()


class _State(Enum):
    HEAD = auto()
    INSIDE = auto()
    BEHIND = auto()
    TEXT = auto()


class ThinkSplitter:
    """Splits one text that comes in pieces; fresh for each. How it is cut makes no difference.

    Space around the reasoning, and before the text behind it, is left out. What may still become a
    tag is held back until it is one, or is not.
    """

    __slots__ = ("_begun", "_held", "_said", "_state")

    def __init__(self, tags: ThinkTags) -> None:
        self._begun = tags is ThinkTags.BEGUN
        self._state = _State.TEXT if tags is ThinkTags.KEPT else _State.HEAD
        self._held = ""
        self._said = False

    @property
    def over(self) -> bool:
        """Whether all that follows is plain text."""
        return self._state is _State.TEXT

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return the reasoning and the text that are known by now."""
        if self._state is _State.TEXT:
            return "", piece
        self._held += piece
        if self._state is _State.HEAD and not self._entered():
            return "", self._given_up()
        thought = ""
        if self._state is _State.INSIDE:
            thought = self._thought()
        return thought, self._text() if self._state is _State.BEHIND else ""

    def finish(self) -> tuple[str, str]:
        """Take the end of the text; return what was held back."""
        held, self._held = self._held, ""
        if self._state is _State.INSIDE or (self._state is _State.HEAD and self._begun):
            return held.rstrip(), ""
        return "", held

    def _entered(self) -> bool:
        """Look for the opening tag. Returns whether reasoning has begun."""
        head = self._held.lstrip()
        if len(head) < len(_OPEN) and _OPEN.startswith(head):
            return False
        if head.startswith(_OPEN):
            self._held = head[len(_OPEN) :]
        elif not self._begun:
            self._state = _State.TEXT
            return False
        self._state = _State.INSIDE
        return True

    def _given_up(self) -> str:
        """Give what was held back, if it turned out to be text."""
        if self._state is _State.HEAD:
            return ""
        held, self._held = self._held, ""
        return held

    def _thought(self) -> str:
        if not self._said:
            self._held = self._held.lstrip()
        before, closed, after = self._held.partition(_CLOSE)
        if closed:
            self._state = _State.BEHIND
            self._held = after
            return before.rstrip()
        thought = before[: len(before) - _half_tag(before)].rstrip()
        self._held = before[len(thought) :]
        self._said = self._said or bool(thought)
        return thought

    def _text(self) -> str:
        text, self._held = self._held.lstrip(), ""
        if text:
            self._state = _State.TEXT
        return text


def split_thinking(text: str, tags: ThinkTags) -> tuple[str, str]:
    """Split a whole text into its reasoning and the rest."""
    splitter = ThinkSplitter(tags)
    thought, said = splitter.feed(text)
    more_thought, more_said = splitter.finish()
    return thought + more_thought, said + more_said


def _half_tag(text: str) -> int:
    """Count the letters at the end that may be the beginning of the closing tag."""
    for length in range(len(_CLOSE) - 1, 0, -1):
        if text.endswith(_CLOSE[:length]):
            return length
    return 0
