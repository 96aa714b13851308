"""Each condition of a request to sign out by itself: what follows, who is believed, and what is put aside for whom."""

from datetime import timedelta
from typing import Any, cast

import pytest
from werkzeug.datastructures import MultiDict

from idp import web
from idp.db.models import SessionKind, StoredRequest, StoredRequestKind
from idp.logout.end_session_request import (
    MAXIMUM_LENGTH,
    EndSessionRequest,
    Unreadable,
    check_request,
    read_parameters,
)
from idp.logout.next_step import Step, next_step
from idp.logout.question import Question, find_question, keep_way_back
from idp.sessions import CurrentSession, Ended
from idp.sessions.participations import SidOwner
from idp.tokens.jwts import IdTokenHint
from idp.web import stored_requests
from tests.support.characters import Provider
from tests.support.heart import Heart

AFTER, ASKING = "https://rp.example/bye", "https://rp.example/bye?from=op"
OWN = "this very browser"
BROWSER, APP = SessionKind.BROWSER, SessionKind.APP


class Here(CurrentSession):
    """Who is signed in in this browser, as far as the step depends on it."""

    def __init__(self) -> None:
        object.__setattr__(self, "id", "here")
        object.__setattr__(self, "user_id", "ada")


@pytest.mark.parametrize(
    ("named", "step"),
    [
        (None, Step.ASK),
        (SidOwner("here", "ada", "wiki", BROWSER, None), Step.END_BROWSER),
        (SidOwner("here", "bob", "wiki", BROWSER, None), Step.ASK),
        (SidOwner("there", "ada", "wiki", BROWSER, None), Step.ASK),
        (SidOwner("app", "ada", "tool", APP, "here"), Step.END_APP_THEN_ASK),
        (SidOwner("app", "bob", "tool", APP, "here"), Step.ASK),
        (SidOwner("app", "ada", "tool", APP, "there"), Step.ASK),
    ],
)
def test_only_this_browsers_session_or_an_app_approved_in_it_ends_without_a_question(
    named: SidOwner | None, step: Step
) -> None:
    assert next_step(Here(), named) is step
    assert next_step(None, named) is Step.NOTHING_LEFT


@pytest.mark.spec("RP-Initiated Logout", "2")
def test_a_parameter_is_read_once_within_its_length_and_an_empty_one_is_none() -> None:
    longest = "x" * MAXIMUM_LENGTH

    assert read_parameters(MultiDict([("state", longest), ("client_id", ""), ("other", "1")])) == {"state": longest}
    with pytest.raises(Unreadable, match="state"):
        read_parameters(MultiDict([("state", longest + "x")]))
    with pytest.raises(Unreadable, match="client_id"):
        read_parameters(MultiDict([("client_id", ""), ("client_id", "a")]))


@pytest.mark.spec("RP-Initiated Logout", "3")
def test_nobody_is_sent_anywhere_but_where_the_verified_asker_registered(heart: Heart) -> None:
    client, other = heart.client(post_logout_redirect_uris=(AFTER, ASKING)), heart.client()
    gone = heart.client(post_logout_redirect_uris=(AFTER,))
    heart.change(gone, disabled_at=heart.now)
    hint = IdTokenHint(sub="ada", audience=client.id, sid="s")

    def asked(hint: IdTokenHint | None = None, **parameters: str) -> tuple[str | None, bool, str | None]:
        with heart.database.single_reads() as statements:
            found: EndSessionRequest = check_request(statements, parameters, hint)
            return found.client.id if found.client else None, found.hint is hint, found.return_address

    to: dict[str, str] = {"post_logout_redirect_uri": AFTER}
    nobody = (None, False, None)
    assert asked(hint, id_token_hint="h", **to) == (client.id, True, AFTER)
    assert asked(hint, id_token_hint="h", client_id=client.id, **to) == (client.id, True, AFTER)
    assert asked(hint, id_token_hint="h", client_id=other.id, **to) == nobody
    assert asked(None, client_id=client.id, **to) == (client.id, True, AFTER)
    assert asked(None, client_id=client.id, id_token_hint="bad", **to) == (client.id, True, None)
    assert asked(None, client_id=client.id) == (client.id, True, None)
    assert asked(None, client_id=other.id, **to) == (other.id, True, None)
    assert asked(None, client_id=gone.id, **to)[::2] == (None, None)
    assert asked(None, client_id="nobody", **to)[::2] == (None, None)
    assert asked(None, **to)[::2] == (None, None)
    assert asked(None, client_id=client.id, post_logout_redirect_uri=AFTER + "/") == (client.id, True, None)
    with_state = asked(None, client_id=client.id, state="a b&c", **to)
    assert with_state[2] == AFTER + "?state=a+b%26c"
    assert asked(None, client_id=client.id, state="s", post_logout_redirect_uri=ASKING)[2] == ASKING + "&state=s"


# ── What is put aside while a person is asked ─────────────────────────────────────────────────────────────────────────

QUESTION: dict[str, Any] = {"return_address": AFTER, "ended_app": "Tool"}


def put_aside(provider: Provider, client_id: str | None = None, **changes: Any) -> str:
    heart = provider.heart
    with heart.database.transaction() as tx:
        return stored_requests.store(
            tx,
            **{
                "kind": StoredRequestKind.LOGOUT,
                "client_id": client_id,
                "parameters": QUESTION,
                "browser": OWN,
                "now": heart.now,
                "settings": heart.settings,
                **changes,
            },
        )


def found(provider: Provider, handle: str, later: timedelta = timedelta()) -> tuple[bool, Question]:
    heart = provider.heart
    asked = provider.app.test_request_context("/logout", query_string={"request": handle})
    with asked, heart.database.reading() as tx:
        stored, question = find_question(tx, heart.now + later)
    return stored is not None, question


@pytest.fixture
def own_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser at hand, which pages have bound already."""
    for name in ("known_browser_binding", "browser_binding"):
        monkeypatch.setattr(web, name, lambda: OWN)


@pytest.mark.usefixtures("own_browser")
def test_a_question_comes_back_whole_in_its_own_browser_and_empty_for_everything_else(provider: Provider) -> None:
    rp = provider.relying_party()
    nothing = (False, Question("", None, None, None))
    handle, nobodys = put_aside(provider, rp.client.id), put_aside(provider)

    is_stored, question = found(provider, handle)

    assert is_stored
    assert (question.handle, question.return_address, question.ended_app) == (handle, AFTER, "Tool")
    assert question.client is not None
    assert question.client.id == rp.client.id
    assert found(provider, nobodys) == (True, Question(nobodys, None, AFTER, "Tool"))
    for other in (
        "",
        "garbage",
        put_aside(provider, browser="another"),
        put_aside(provider, kind=StoredRequestKind.AUTHORIZE),
        put_aside(provider, parameters={"posted": {}, **QUESTION}),
    ):
        assert found(provider, other) == nothing
    assert found(provider, handle, provider.settings.stored_request_lifetime) == nothing


@pytest.mark.usefixtures("own_browser")
def test_a_way_back_is_kept_only_where_this_browser_asks_applications_first(provider: Provider) -> None:
    rp, heart = provider.relying_party(), provider.heart

    def kept(ended: Ended | None, address: str | None, *, named: bool = True) -> str | None:
        with provider.app.test_request_context("/logout"), heart.database.transaction() as tx:
            return keep_way_back(tx, ended, rp.client.id if named else None, address, heart.now)

    assert kept(None, AFTER) is None
    assert kept(Ended(frontchannel=0), AFTER) is None
    assert kept(Ended(frontchannel=1), None) is None
    assert heart.all(StoredRequest) == []
    handles = [cast("str", kept(Ended(frontchannel=1), AFTER, named=named)) for named in (True, False)]
    questions = [found(provider, handle)[1] for handle in handles]
    assert [(one.return_address, one.ended_app, one.client is None) for one in questions] == [
        (AFTER, None, False),
        (AFTER, None, True),
    ]
    assert {row.expires_at for row in heart.all(StoredRequest)} == {
        heart.now + provider.settings.stored_request_lifetime
    }
