"""Floor 3, clients: relying parties and applications, their secrets, and what people allowed them.

Owns the rules of registration (RFC 7591 §2 as an operator's act), the client's secrets, and consents. It never ends
anything itself: whoever disables or deletes a client, or withdraws a consent, calls `idp.sessions` in the same
transaction. No Flask, no Authlib.
"""

from idp.clients.consents import ConsentRow, find_consent, grant_consent, hold_consent, list_consents, withdraw_consent
from idp.clients.find import (
    CLIENT_TERMS,
    AskingClient,
    ClientTerms,
    ProvenClient,
    authenticate_secret,
    find_asking,
    find_client,
    find_enabled,
    find_id_token_algorithms,
    list_clients,
    prove_client,
    resource_identifiers,
)
from idp.clients.lifecycle import (
    RotatedSecret,
    RotationUnderWay,
    delete_client,
    disable_client,
    enable_client,
    hold_client,
    rotate_client_secret,
)
from idp.clients.registration import ClientProblem, ClientSpec, CreatedClient, create_client, update_client

__all__ = [
    "CLIENT_TERMS",
    "AskingClient",
    "ClientProblem",
    "ClientSpec",
    "ClientTerms",
    "ConsentRow",
    "CreatedClient",
    "ProvenClient",
    "RotatedSecret",
    "RotationUnderWay",
    "authenticate_secret",
    "create_client",
    "delete_client",
    "disable_client",
    "enable_client",
    "find_asking",
    "find_client",
    "find_consent",
    "find_enabled",
    "find_id_token_algorithms",
    "grant_consent",
    "hold_client",
    "hold_consent",
    "list_clients",
    "list_consents",
    "prove_client",
    "resource_identifiers",
    "rotate_client_secret",
    "update_client",
    "withdraw_consent",
]
