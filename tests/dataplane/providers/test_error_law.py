"""The law of errors, written out here a second time, holds for all nine types.

One table says what each class leads to; the other which class each vendor's status must be able to
become. Golden files are the proof of the second: for each of its cells there is an error of that type
and status whose class was written by hand, and what the adapter makes of it is compared there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from controlplane.table.outcome import OutcomeKind
from controlplane.table.schema import ProviderType
from dataplane.codec import decode
from dataplane.errors import POLICIES, ErrorClass
from tests import matrix

OAI, AZ, ANT = ProviderType.OPENAI, ProviderType.AZURE_OPENAI, ProviderType.ANTHROPIC
BR, MIS, OLL = ProviderType.AWS_BEDROCK, ProviderType.MISTRAL, ProviderType.OLLAMA
VLL, OVH, SCW = ProviderType.VLLM, ProviderType.OVHCLOUD, ProviderType.SCALEWAY
NINE = (OAI, AZ, ANT, BR, MIS, OLL, VLL, OVH, SCW)

HERE, ELSEWHERE = True, True
NOWHERE = False
# What the caller gets, whether the same target is tried again, whether the next one is, and what it
# means for the breaker.
LEADS_TO: Mapping[ErrorClass, tuple[int, bool, bool, OutcomeKind]] = {
    ErrorClass.BAD_REQUEST: (400, False, NOWHERE, OutcomeKind.IGNORED),
    ErrorClass.UNSUPPORTED: (400, False, ELSEWHERE, OutcomeKind.IGNORED),
    # To a larger window only, which the forwarder sees to.
    ErrorClass.CONTEXT_LENGTH: (400, False, ELSEWHERE, OutcomeKind.IGNORED),
    ErrorClass.CONTENT_POLICY: (400, False, NOWHERE, OutcomeKind.IGNORED),
    ErrorClass.TOO_LARGE: (413, False, NOWHERE, OutcomeKind.IGNORED),
    # Retried only if the credential could be renewed, which the sender sees to.
    ErrorClass.AUTH: (502, False, ELSEWHERE, OutcomeKind.CREDENTIAL_REFUSED),
    ErrorClass.PERMISSION: (502, False, ELSEWHERE, OutcomeKind.TARGET_BROKEN),
    ErrorClass.MODEL_NOT_FOUND: (502, False, ELSEWHERE, OutcomeKind.TARGET_BROKEN),
    ErrorClass.CONFIG: (502, False, ELSEWHERE, OutcomeKind.TARGET_BROKEN),
    ErrorClass.RATE_LIMIT: (429, HERE, ELSEWHERE, OutcomeKind.RATE_LIMITED),
    ErrorClass.QUOTA: (429, False, ELSEWHERE, OutcomeKind.QUOTA_EXHAUSTED),
    ErrorClass.OVERLOADED: (503, HERE, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.NOT_READY: (503, HERE, ELSEWHERE, OutcomeKind.NOT_READY),
    ErrorClass.TIMEOUT_CONNECT: (504, HERE, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.TIMEOUT_FIRST_BYTE: (504, False, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.TIMEOUT_IDLE: (504, False, NOWHERE, OutcomeKind.FAILURE),
    ErrorClass.TIMEOUT_UPSTREAM: (504, HERE, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.CONNECTION: (502, HERE, ELSEWHERE, OutcomeKind.FAILURE),
    # A name that does not resolve, a certificate that is refused.
    ErrorClass.UNREACHABLE: (502, False, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.UPSTREAM_ERROR: (502, HERE, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.BAD_RESPONSE: (502, HERE, ELSEWHERE, OutcomeKind.FAILURE),
    ErrorClass.CONFLICT: (409, HERE, ELSEWHERE, OutcomeKind.IGNORED),
    ErrorClass.CLIENT_CANCELLED: (499, False, NOWHERE, OutcomeKind.IGNORED),
    ErrorClass.STREAM_ABORT: (502, False, NOWHERE, OutcomeKind.FAILURE),
}
# Classes of our own, beside the law's.
OURS = {ErrorClass.TIMEOUT_TOTAL, ErrorClass.CREDENTIAL}

Cells = Mapping[ProviderType, Sequence[int]]


def _all(status: int, *but: ProviderType) -> dict[ProviderType, Sequence[int]]:
    return {kind: (status,) for kind in NINE if kind not in but}


# Which statuses of a vendor must be able to become the class; a type that is not there has no such error.
RECOGNISED: Mapping[ErrorClass, Cells] = {
    ErrorClass.CONTEXT_LENGTH: _all(400),
    # Bedrock says it in a 200, by its stop reason.
    ErrorClass.CONTENT_POLICY: {OAI: (400,), AZ: (400,), ANT: (400,), MIS: (403,)},
    ErrorClass.AUTH: _all(401, BR) | {BR: (403,), OVH: (401, 403), SCW: (403, 401)},
    # Scaleway's 403 is a bad key.
    ErrorClass.PERMISSION: _all(403, VLL, SCW),
    ErrorClass.MODEL_NOT_FOUND: _all(404)
    | {OAI: (404, 400), BR: (404, 400), MIS: (400, 404), SCW: (422,)},
    ErrorClass.RATE_LIMIT: _all(429, VLL),
    ErrorClass.QUOTA: {OAI: (429,), AZ: (429,), ANT: (400, 402, 429), BR: (400, 429),
                       MIS: (402, 429), OVH: (403,)},
    ErrorClass.OVERLOADED: _all(503) | {ANT: (529,), MIS: (429, 503)},
    ErrorClass.NOT_READY: {BR: (429,), VLL: (503,), OLL: (503,)},
    ErrorClass.TIMEOUT_UPSTREAM: {OAI: (408,), AZ: (408,), ANT: (504,), BR: (408,), MIS: (504,),
                                  OVH: (504,), SCW: (504,)},
    ErrorClass.UPSTREAM_ERROR: _all(500) | {AZ: (500, 424), BR: (500, 424), OLL: (500, 502)},
    ErrorClass.TOO_LARGE: _all(413) | {BR: (413, 400)},
    ErrorClass.BAD_REQUEST: _all(400, MIS)
    | {OAI: (400, 422), AZ: (400, 422), MIS: (422,), OVH: (400, 422), SCW: (400, 416)},
}  # fmt: skip


def test_each_class_leads_to_what_the_law_says() -> None:
    decided = {
        error: (policy.status, bool(policy.retries_here), policy.try_next, policy.effect)
        for error, policy in POLICIES.items()
        if error not in OURS
    }

    assert set(ErrorClass) == LEADS_TO.keys() | OURS
    assert LEADS_TO == decided


@pytest.mark.parametrize("error", RECOGNISED)
def test_each_cell_of_the_law_has_an_error_that_proves_it(error: ErrorClass) -> None:
    proven = {
        (kind, case["status"])
        for kind in NINE
        for path in matrix.errors(kind)
        if (case := decode(path.read_bytes()))["class"] == error
    }
    demanded = {(kind, status) for kind, cells in RECOGNISED[error].items() for status in cells}

    assert set() == demanded - proven


@pytest.mark.parametrize("kind", NINE)
def test_what_the_law_does_not_know_of_a_vendor_is_nowhere(kind: ProviderType) -> None:
    """No golden error has a class that its vendor cannot mean."""
    known = {error for error, cells in RECOGNISED.items() if kind in cells}
    found = {ErrorClass(decode(path.read_bytes())["class"]) for path in matrix.errors(kind)}

    # Of every vendor, or of a few in ways that no table lists.
    beside = {ErrorClass.CONFIG, ErrorClass.UNSUPPORTED, ErrorClass.CONFLICT}
    assert found <= known | beside
