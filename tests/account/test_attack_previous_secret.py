"""After a renewal the previous cookie is good for half a minute of reading, and changes nothing (design §3)."""

from idp import sessions
from idp.db.models import LogoutEvent, Session
from tests.support.characters import Provider
from tests.support.pages import Visitor

PATH = "/account/sessions/end-others"


def test_the_previous_cookie_reads_but_does_not_end_or_renew_anything(provider: Provider, signed_in: Visitor) -> None:
    """Else whoever copied it before a step-up would get a new one by "Sign out everywhere else"."""
    heart = provider.heart
    [session] = heart.all(Session)
    heart.sign_in(provider.person("bob"))
    with heart.database.transaction() as tx:
        sessions.renew_secret(tx, session_id=session.id, now=heart.now, keep_previous=True)
    before = heart.session(session.id).secret_hash

    answer = signed_in.submit(signed_in.page(PATH).form(PATH))

    assert answer.status_code == 303
    assert heart.session(session.id).secret_hash == before
    assert heart.all(LogoutEvent) == []
    assert heart.all(Session, Session.ended_at.is_not(None)) == []


def test_the_current_cookie_does(provider: Provider, signed_in: Visitor) -> None:
    heart = provider.heart
    [session] = heart.all(Session)
    before = heart.session(session.id).secret_hash

    signed_in.submit(signed_in.page(PATH).form(PATH))

    assert heart.session(session.id).secret_hash != before
