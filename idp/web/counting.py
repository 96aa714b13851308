"""Counting what desks have ended, after the commit: a transaction that was rolled back has ended nothing."""

from idp.kit import metrics
from idp.sessions import Ended


def count_ended(ended: Ended | None) -> None:
    """Count an end that was committed; None and an end of nothing count for nothing."""
    if ended is not None and ended.reason is not None:
        metrics.count_ends(ended.reason, ended.browsers + ended.apps or ended.participations)
