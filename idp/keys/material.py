"""Key pairs: making them, their public JWK, their name, and their sealed form.

ES256 (P-256) is the default and RS256 (2048 bits) is offered because OIDC Core §15.1 demands it. `kid` is the RFC 7638
thumbprint, so that two keys never share a name.
"""

import hashlib
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from idp.kit.keyring import Keyring
from idp.kit.opaque import base64url

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey
SEALING_PURPOSE: Final = "signing-key"
ALGORITHMS: Final = ("ES256", "RS256")
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}


def generate(algorithm: str) -> PrivateKey:
    """A fresh private key for `ES256` or `RS256`. `ValueError` for any other algorithm."""
    if algorithm == "ES256":
        return generate_private_key(SECP256R1())
    if algorithm == "RS256":
        return generate_rsa_key(public_exponent=65537, key_size=2048)
    raise ValueError(f"{algorithm} is not one of {', '.join(ALGORITHMS)}")


def public_jwk(key: PrivateKey, algorithm: str) -> dict[str, Any]:
    """The public JWK as it stands in the JWKS: kty and its members, kid, use, alg."""
    if isinstance(key, EllipticCurvePrivateKey):
        jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    return {**members, "kid": thumbprint(members), "use": "sig", "alg": algorithm}


def thumbprint(jwk: dict[str, Any]) -> str:
    """The RFC 7638 thumbprint of an EC or RSA key: SHA-256 over its required members in alphabetic order (§3)."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64url(hashlib.sha256(canonical.encode()).digest())


def seal(key: PrivateKey, kid: str, keyring: Keyring) -> bytes:
    """The private key as PKCS #8, encrypted for the row that `kid` names."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return keyring.seal(SEALING_PURPOSE, kid, der)


def unseal(sealed: bytes, kid: str, keyring: Keyring) -> PrivateKey:
    """Inverse of `seal`. Raises `idp.kit.keyring.CannotUnseal`."""
    key = load_der_private_key(keyring.unseal(SEALING_PURPOSE, kid, sealed), password=None)
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise TypeError("a sealed signing key is neither EC nor RSA")
    return key
