"""Steps of applications, and of thieves with copies of what applications hold: redeem, refresh, revoke."""

from datetime import datetime, timedelta
from typing import Any

import jwt
from hypothesis import strategies as st
from hypothesis.stateful import consumes, multiple, rule

from tests.stateful.model import AccessToken, Application, Code, Family, Person, Place
from tests.stateful.play import codes, families, nodes, people, which_application
from tests.stateful.signing_in import SigningIn


class Using(SigningIn):
    """Codes and tokens in use."""

    @rule(
        target=families, person=people, which=which_application, offline=st.booleans(), lost=st.booleans(), node=nodes
    )
    def connect(self, person: Person, which: int, offline: bool, lost: bool, node: int) -> Any:
        """The usual beginning in one step, so that most runs get further; the first answer may be lost."""
        if person.disabled or person.is_barred(self.now) or self.applications[which].disabled:
            return multiple()
        window = self.sign_in(person, True, node)
        code = self.authorize(window, which, offline, None, True, node)
        if not isinstance(code, Code):  # a clock stepped back behind "sign in again since"
            return multiple()
        family = self.redeem(code, "rightly", 1 - node)
        self.refresh(family, 0, False, node)
        if lost:
            self.installation.heart.clock.advance(seconds=11)
            self.refresh(family, 1, False, 1 - node)
        return family

    @rule(
        target=families, code=codes, how=st.sampled_from(["rightly", "rightly", "by another", "unproved"]), node=nodes
    )
    def redeem(self, code: Code, how: str, node: int) -> Any:
        here = self.at(node)
        if code.unsure:
            return multiple()
        client = self.another(code.application) if how == "by another" else code.application
        changes = {"code_verifier": "x" * 50} if how == "unproved" else {}
        if how == "by another":
            changes["redirect_uri"] = code.application.rp.redirect_uri
        good = (
            how == "rightly"
            and not code.used
            and code.expires_at > self.now
            and code.place.is_live(self.now)
            and not code.application.disabled
            and code.place.owner.epoch == code.epoch
            and code.application.epoch == code.client_epoch
            and self.world.decisions.takes(code.application, code.auth_time)
        )

        answer = here.redeem(client, code.text, **changes)

        assert (answer.error is None) == good, answer.body
        if answer.error is not None:
            assert answer.error == ("invalid_client" if client.disabled else "invalid_grant")
            if how == "rightly" and not client.disabled and code.family is not None:
                self.world.note("code_reused", code.place.owner)
                self.world.revoke(code.family, self.now)  # used twice: what it gave is over (RFC 6749 §4.1.2)
            return multiple()
        code.used = True
        code.family = self.took_tokens(code, answer)
        return code.family

    def took_tokens(self, code: Code, answer: Any) -> Family:
        application, place = code.application, code.place
        claims = jwt.decode(answer.id_token, options={"verify_signature": False})
        if application.is_native or "offline_access" in code.scope:
            own_id = self.installation.session_of(claims["sid"])
            self.world.make_room(place.owner, application, self.now)
            self.world.note("app_signed_in", place.owner)
            place = self.world.start(
                Place(
                    "app",
                    place.owner,
                    own_id,
                    self.now,
                    self.now,
                    code.auth_time,
                    self.world.decisions,
                    application=application,
                    parent=place,
                )
            )
        is_anew = application not in place.sids or place.is_part_over(application, self.now)
        owner = self.world.subs.setdefault(claims["sub"], place.owner)
        assert owner is place.owner, "somebody has the sub of somebody else, or of somebody who is gone"  # I15
        known = {family.sid for family in self.world.families}
        assert not is_anew or claims["sid"] not in known, "a sid that was announced as ended came back"
        self.world.join(place, application, claims["sid"], self.now)
        family = Family(
            place,
            application,
            claims["sid"],
            claims["sub"],
            claims["auth_time"],
            code.auth_time,
            set(answer.scope.split()),
            self.now,
            texts={1: answer.refresh_token},
            id_token=answer.id_token,
        )
        assert family.scope <= code.scope
        place.families.append(family)
        self.world.families.append(family)
        self.took_access(family, answer)
        return family

    def took_access(self, family: Family, answer: Any) -> None:
        claims = jwt.decode(answer.access_token, options={"verify_signature": False})
        expires_at = datetime.fromtimestamp(claims["exp"], tz=self.now.tzinfo)
        lifetime = self.world.decisions.value("access_token_lifetime", family.application)
        assert timedelta(seconds=-1) < expires_at - self.now - lifetime <= timedelta(0)  # I3
        assert (claims["sub"], claims["client_id"]) == (family.sub, family.application.rp.id)
        assert set(claims["scope"].split()) <= family.scope  # I10
        family.access.append(AccessToken(answer.access_token, expires_at))

    @rule(family=families, back=st.sampled_from([0, 0, 0, 1, 1, 2, 3, -1]), by_another=st.booleans(), node=nodes)
    def refresh(self, family: Family, back: int, by_another: bool, node: int) -> None:
        here, presented = self.at(node), family.live - back
        if presented < 1:
            return
        application = self.another(family.application) if by_another else family.application
        text = family.texts.get(presented) or here.of_generation(family.texts[1], presented)
        if by_another and (application.is_native or not application.disabled):
            self.world.note("refresh_wrong_client", family.place.owner, is_sure=not family.purged)
        was_live = family.is_live(self.now) and not by_another
        turn = family.expected_turn(presented, self.now) if was_live else "refuse"

        answer = here.refresh(application, text)

        assert (answer.error is None) == (turn in {"rotate", "hold", "skip"}), (turn, answer.body)
        if answer.error is not None:
            self.is_refused_like_all_others(answer, application)
            if turn == "refuse and end":
                kind = "refresh_ahead" if presented > family.live else "refresh_reused"
                self.world.note(kind, family.place.owner)
                self.world.gave_itself_away(family, self.now)  # I6
            return
        if turn == "skip":
            self.world.note("refresh_skipped", family.place.owner)
        family.took(turn, self.now)
        # I5: one live token; whoever gets an answer gets that one.
        assert family.texts.setdefault(family.live, answer.refresh_token) == answer.refresh_token
        assert len(set(family.texts.values())) == len(family.texts)
        id_claims = jwt.decode(answer.id_token, options={"verify_signature": False})
        assert (id_claims["sid"], id_claims["auth_time"]) == (family.sid, family.auth_time)
        self.took_access(family, answer)

    def is_refused_like_all_others(self, answer: Any, application: Application) -> None:
        if application.disabled and not application.is_native:
            assert answer.error == "invalid_client"
            return
        headers = {name for name, _ in answer.response.headers}
        seen = (answer.status, answer.body, headers)
        assert answer.error == "invalid_grant"
        assert self.refusal in (None, seen)  # a "no" never says why
        self.refusal = seen

    @rule(family=families, back=st.integers(0, 2), by_another=st.booleans(), node=nodes)
    def revoke(self, family: Family, back: int, by_another: bool, node: int) -> None:
        here = self.at(node)
        client = self.another(family.application) if by_another else family.application
        response = here.revoke(client, family.texts[max(1, family.live - back)])
        assert response.status_code == (401 if client.disabled else 200)
        if not by_another and not client.disabled:
            self.world.revoke(family, self.now)

    @rule(family=families, by_another=st.booleans(), node=nodes)
    def revoke_access_token(self, family: Family, by_another: bool, node: int) -> None:
        here, token = self.at(node), family.access[-1]
        client = self.another(family.application) if by_another else family.application
        response = here.revoke(client, token.text)
        assert response.status_code == (401 if client.disabled else 200)
        if not by_another and not client.disabled and token.expires_at > self.now:
            if not token.denied:
                self.world.note("access_token_revoked", family.place.owner)
            token.denied = True

    @rule(family=consumes(families))
    def forget(self, family: Family) -> None:
        """The client loses its file. Nothing changes, and the machine plays it no more."""
