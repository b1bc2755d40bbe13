"""What can go wrong with an upstream's connection, in the words and classes of `dataplane.errors`.

Messages name no host: callers see them, and who they are served by is not theirs to know.
"""

from __future__ import annotations

import socket
import ssl

from dataplane.errors import ErrorClass, UpstreamFailed


class ExpiredError(Exception):
    """What was waited for did not come in time; whoever set the time knows what that means."""


def not_valid() -> UpstreamFailed:
    """Build the failure of a request that cannot be put into HTTP."""
    return UpstreamFailed(ErrorClass.CONFIG, "the URL or a header of the provider is not valid")


def not_connected_in(connect_s: float) -> UpstreamFailed:
    """Build the failure of a connection that was not made in time."""
    return UpstreamFailed(
        ErrorClass.TIMEOUT_CONNECT, f"connecting to the provider timed out after {connect_s:g} s"
    )


def not_connected(error: Exception) -> UpstreamFailed:
    """Build the failure of a connection that cannot be made; the most specific first."""
    match error:
        case socket.gaierror():
            return UpstreamFailed(
                ErrorClass.UNREACHABLE,
                "the name of the provider's host cannot be resolved",
                error_type="connection.dns",
            )
        case ssl.SSLError():
            return UpstreamFailed(
                ErrorClass.UNREACHABLE,
                "no trusted TLS connection to the provider",
                error_type="connection.tls",
            )
        case ConnectionRefusedError():
            return UpstreamFailed(
                ErrorClass.CONNECTION,
                "the provider refused the connection",
                error_type="connection.refused",
            )
        case ValueError():
            return not_valid()
        case _:
            return UpstreamFailed(
                ErrorClass.CONNECTION,
                "no connection to the provider",
                error_type="connection.reset",
            )


def malformed() -> UpstreamFailed:
    """Build the failure of an answer that breaks the protocol."""
    return UpstreamFailed(
        ErrorClass.BAD_RESPONSE, "the provider answered something that is not HTTP"
    )


def closed_before_answer() -> UpstreamFailed:
    """Build the failure of a connection that ended before an answer's head was whole."""
    return UpstreamFailed(
        ErrorClass.CONNECTION,
        "the provider closed the connection before it answered",
        error_type="connection.reset",
    )


def closed_in_answer() -> UpstreamFailed:
    """Build the failure of a connection that ended before an answer's body was whole."""
    return UpstreamFailed(
        ErrorClass.CONNECTION,
        "the upstream closed the connection in the middle of its answer",
        error_type="connection.reset",
    )
