"""Floor 5, operation: what an operator's machines ask. `/healthz`, `/readyz`, `/metrics`, at the root of every node.

They speak of this node, not of the issuer, and therefore stand outside its path. Answers hold states, counts and
times: no name of a person, client, host or address, and nothing that came with a request. Decides nothing but "ready".
"""

from idp.operation.routes import blueprint

__all__ = ["blueprint"]
