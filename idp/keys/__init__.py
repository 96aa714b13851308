"""Floor 3, keys: the signing keys of this installation, from publication to forgetting.

Owns making, sealing, rotating and retiring keys, and a cache of them per process. A key is in the JWKS before it
signs and after it has stopped (RFC 7517; OIDC Core §10.1.1), and verifies our own ID tokens as hints for as long as
sessions live; a compromised one verifies nothing. No private key leaves this room except inside a `Signer`.
"""

from idp.keys.lifecycle import KeyProblem, create_key, ensure_keys, list_keys, purge_keys, retire, rotate
from idp.keys.material import thumbprint
from idp.keys.reseal import reseal
from idp.keys.store import KeyStore, KeyUnavailable, Signer, VerificationKey

__all__ = [
    "KeyProblem",
    "KeyStore",
    "KeyUnavailable",
    "Signer",
    "VerificationKey",
    "create_key",
    "ensure_keys",
    "list_keys",
    "purge_keys",
    "reseal",
    "retire",
    "rotate",
    "thumbprint",
]
