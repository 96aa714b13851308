"""The transactional outbox of logout: notices written in the commit that ends a session, sent later by a worker (I4).

Owns the delivery rows: writing them (`enqueue`), leasing them to one worker (`claim_due`), deciding what follows an
attempt (`next_step`, pure) and recording it (`settle`). Refuses to know who is to be told (the caller names ended
participations, never tokens), to build a logout token, or to open a connection: `idp.logout.backchannel` does.
Serves OpenID Connect Back-Channel Logout 1.0.
"""

from idp.outbox.enqueue import EndedParticipation, enqueue

__all__ = ["EndedParticipation", "enqueue"]
