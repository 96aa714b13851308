"""A key that is missing refuses before anything is used up (I17): the same code works once the key is there."""

from tests.support.characters import Provider
from tests.support.pages import Visitor


def test_a_code_survives_the_time_when_its_clients_signing_key_is_missing(
    provider: Provider, signed_in: Visitor
) -> None:
    rp = provider.relying_party(name="Old library", id_token_signed_response_alg="RS256")
    code = rp.authorize(signed_in).code

    unavailable = rp.post(
        "/oauth2/token",
        grant_type="authorization_code",
        code=code,
        redirect_uri=rp.redirect_uri,
        code_verifier=rp.verifier,
    )
    provider.keys("RS256")
    again = rp.redeem(code)

    assert unavailable.status_code == 503
    assert "Retry-After" in unavailable.headers
    assert rp.read(again.id_token)["aud"] == rp.id
