"""Refreshes with a scope of many words: allowed and refused as any other, and never a statement of their own."""

from idp.tokens import Issued, Refused, rotation
from tests.support.heart import Heart


def _succeed(answer: Issued | Refused) -> Issued:
    assert isinstance(answer, Issued), answer
    return answer


def _refuse(answer: Issued | Refused, error: str) -> None:
    assert isinstance(answer, Refused), answer
    assert answer.error == error


def test_a_scope_of_thousands_of_words_is_refused_and_makes_no_statement_of_its_own(heart: Heart) -> None:
    """Each number of words is a statement, kept here and by the database: strangers must not choose how many."""
    client = heart.client()
    first = heart.tokens_for(heart.sign_in(heart.person()), client)
    _refuse(heart.refresh(first, client, scope="admin"), "invalid_scope")
    kept = rotation._statement.cache_info().currsize

    for words in (2000, 2001):
        _refuse(heart.refresh(first, client, scope=" ".join(f"w{place}" for place in range(words))), "invalid_scope")

    assert rotation._statement.cache_info().currsize == kept
    assert _succeed(heart.refresh(first, client)).outcome == "rotated"


def test_many_words_may_be_granted_narrowed_and_not_widened(heart: Heart) -> None:
    many = tuple(f"w{place}" for place in range(40))
    client = heart.client(scopes=("openid", *many))
    first = heart.tokens_for(heart.sign_in(heart.person()), client, " ".join(("openid", *many[:30])))

    kept = rotation._statement.cache_info().currsize

    narrowed = _succeed(heart.refresh(first, client, scope=" ".join(many[:29])))
    assert rotation._statement.cache_info().currsize <= kept + 1, "one statement for all large scopes"
    _succeed(heart.refresh(narrowed, client, scope=" ".join(many[:28])))
    assert rotation._statement.cache_info().currsize <= kept + 1
    _refuse(heart.refresh(narrowed, client, scope=" ".join(many[:31])), "invalid_scope")

    assert narrowed.scope == many[:29]
    assert narrowed.outcome == "rotated"
