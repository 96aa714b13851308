"""What the token endpoint counts, after the commit and from nothing but what the rule returned."""

from idp.db.models import EndReason
from idp.kit import metrics
from idp.tokens import Issued, Refused

# A refusal whose detail is the reason of an end has ended something (idp.tokens).
_ENDING = {
    EndReason.CODE_REUSED.value: None,
    EndReason.REFRESH_TOKEN_REUSE.value: "reused",
    EndReason.REFRESH_TOKEN_AHEAD.value: "ahead",
}


def count_outcome(outcome: Issued | Refused, *, is_refresh: bool) -> None:
    """Count a redemption or refresh that was answered."""
    if isinstance(outcome, Refused) and outcome.detail in _ENDING:
        metrics.count_ends(outcome.detail)
    if is_refresh:
        word = outcome.outcome if isinstance(outcome, Issued) else _ENDING.get(outcome.detail) or "refused"
        metrics.count_refresh(word)
