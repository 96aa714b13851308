"""What is kept, for how long, and what a restored back-up must not bring back to life.

Owns the deletion of rows that nothing needs any more (`purge`) and the end of everything that a restore may have
revived (`restore`). Stands above the record rooms because it goes through the tables of all of them; it refuses to end
a session by any other path than `idp.sessions`, and works in batches: each call is one short transaction of the caller.
"""

from idp.retention.purge import KINDS, Kind, purge_batch
from idp.retention.restore import count_people_live_since, end_live_since, invalidate_half_way

__all__ = [
    "KINDS",
    "Kind",
    "count_people_live_since",
    "end_live_since",
    "invalidate_half_way",
    "purge_batch",
]
