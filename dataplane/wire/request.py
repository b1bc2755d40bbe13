"""Inbound requests of OpenAI's dialect: from a body's bytes to a checked, canonical Request.

Null members are stripped, members that nobody here knows are kept: adapters pick what they send.
Whatever is wrong with a request, it is found before any provider is called, and reported with the
path of the field.
"""

from __future__ import annotations

from dataplane.wire.request_chat import parse_chat
from dataplane.wire.request_completion import parse_completion
from dataplane.wire.request_embeddings import parse_embeddings

__all__ = ["parse_chat", "parse_completion", "parse_embeddings"]
