"""Floor 1: small tools without opinions about sessions, users or HTTP routes.

Owns the clock, identifiers, opaque secrets, key derivation, URI rules and the guarded outbound client.
Never imports another room, Flask, Authlib or the database.
"""
