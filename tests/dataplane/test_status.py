from __future__ import annotations

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Provider, ProviderType
from dataplane import status
from tests.fakes import provider

REF = CredentialRef(kind=CredentialKind.ENV, name="KEY")
AZURE = ProviderType.AZURE_OPENAI
BEDROCK = ProviderType.AWS_BEDROCK


@pytest.mark.parametrize(
    ("config", "found", "missing"),
    [
        (provider("a"), "none", "none"),
        (provider("a", credential=REF), "present", "missing"),
        (provider("a", kind=BEDROCK), "identity", "identity"),
        (provider("a", kind=BEDROCK, credential=REF), "present", "missing"),
        (provider("a", kind=AZURE), "none", "none"),
        (
            provider("a", kind=AZURE, options={"azure.entra": "managedIdentity"}),
            "identity",
            "identity",
        ),
        (
            provider("a", kind=AZURE, credential=REF, options={"azure.entra": "clientSecret"}),
            "present",
            "missing",
        ),
    ],
    ids=["open", "key", "sigv4", "bedrock key", "loopback azure", "managed", "client secret"],
)
def test_a_credential_is_told_by_what_it_takes(config: Provider, found: str, missing: str) -> None:
    assert found == status.credential_word(config, lambda ref: ref == REF)
    assert missing == status.credential_word(config, lambda _: False)
