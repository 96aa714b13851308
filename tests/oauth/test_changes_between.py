"""State that changes between a decision and its code: nothing is given on what was true a moment before (lessons)."""

from collections.abc import Callable
from typing import Any

import pytest

from idp import clients
from idp.db.models import AuthorizationCode, StoredRequest, User
from idp.oauth import authorize_flow
from tests.support.characters import Answer, Provider, RelyingParty
from tests.support.heart import race
from tests.support.pages import Visitor


@pytest.fixture
def before_the_code(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen once, after the decision and before the transaction of the code."""

    def arrange(happening: Callable[[], object]) -> None:
        issue, pending = authorize_flow._issue, [happening]

        def later(*given: Any, **named: Any) -> Any:
            while pending:
                pending.pop()()
            return issue(*given, **named)

        monkeypatch.setattr(authorize_flow, "_issue", later)

    return arrange


def test_a_consent_that_is_withdrawn_before_the_code_is_asked_for_again(
    provider: Provider,
    rp: RelyingParty,
    ada: User,
    signed_in: Visitor,
    before_the_code: Callable[[Callable[[], object]], None],
) -> None:
    rp.sign_in(signed_in)
    before = len(provider.heart.all(AuthorizationCode))
    before_the_code(lambda: provider.heart.withdraw(ada, rp.client))

    response = signed_in.get(rp.address())

    assert response.location.startswith("/consent?")
    assert len(provider.heart.all(AuthorizationCode)) == before


def test_a_session_that_ends_before_the_code_leads_to_the_sign_in_page(
    provider: Provider,
    rp: RelyingParty,
    ada: User,
    signed_in: Visitor,
    before_the_code: Callable[[Callable[[], object]], None],
) -> None:
    rp.sign_in(signed_in)
    before_the_code(lambda: provider.heart.end_everything(ada))

    assert signed_in.get(rp.address()).location.startswith("/login?")


def test_an_approval_that_is_overtaken_gives_neither_consent_nor_code_and_its_page_can_be_answered_again(
    provider: Provider,
    rp: RelyingParty,
    ada: User,
    signed_in: Visitor,
    before_the_code: Callable[[Callable[[], object]], None],
) -> None:
    form = signed_in.page(signed_in.get(rp.address()).location).form("/consent")
    before_the_code(lambda: provider.heart.end_everything(ada))

    overtaken = signed_in.submit(form, button="consent-allow")

    assert overtaken.location.startswith("/login?")
    assert provider.heart.all(AuthorizationCode) == []
    with provider.heart.database.single_reads() as statements:
        assert clients.find_consent(statements, ada.id, rp.id) is None
    assert [row.used_at for row in provider.heart.all(StoredRequest)] == [None]
    assert rp.redeem(provider.walk(signed_in, overtaken).code).access_token


def test_no_code_of_before_a_withdrawal_is_worth_anything_after_it(
    provider: Provider, rp: RelyingParty, ada: User, signed_in: Visitor
) -> None:
    rp.sign_in(signed_in)
    cookies = {"Cookie": "; ".join(f"{name}={signed_in.cookie(name)}" for name in ("idp_session", "idp_browser"))}

    def authorize() -> Answer:
        response = provider.get(rp.address(prompt="none"), headers=cookies)
        return provider.walk(signed_in, response)

    def withdraw() -> None:
        provider.heart.withdraw(ada, rp.client)

    answers = race([authorize, authorize, authorize, withdraw, authorize, authorize])

    for answer in answers:
        if answer is not None:
            assert answer.error == "consent_required" or rp.redeem(answer.code).error == "invalid_grant"


def test_two_answers_at_once_to_one_page_give_one_code(
    provider: Provider, rp: RelyingParty, signed_in: Visitor
) -> None:
    form = signed_in.page(signed_in.get(rp.address()).location).form("/consent")
    cookies = {"Cookie": "; ".join(f"{name}={signed_in.cookie(name)}" for name in ("idp_session", "idp_browser"))}
    allow = {**form.fields, "decision": "allow"}

    answers = race([lambda: provider.post(form.action, allow, headers=cookies) for _ in range(6)])

    assert sorted(answer.status_code for answer in answers) == [303, 400, 400, 400, 400, 400]
    assert len(provider.heart.all(AuthorizationCode)) == 1
