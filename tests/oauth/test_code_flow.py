"""The authorization code flow end to end: signing in, consent, codes, tokens, refresh."""

from idp.db.models import User
from tests.support.characters import RelyingParty
from tests.support.pages import Visitor


def test_a_person_signs_in_allows_and_the_application_gets_tokens(
    rp: RelyingParty, ada: User, browser: Visitor
) -> None:
    answer = rp.authorize(browser, scope="openid email", state="a b&c=d/é?")

    assert answer.fields["state"] == "a b&c=d/é?"
    assert answer.fields["iss"] == "http://localhost"
    tokens = rp.redeem(answer.code)
    assert tokens.token_type == "Bearer"
    assert tokens.expires_in == 300
    assert tokens.scope == "openid email"
    assert rp.read(tokens.id_token)["sub"] == ada.sub
    assert rp.userinfo(tokens).get_json() == {"sub": ada.sub, "email": "ada@example.com", "email_verified": False}
