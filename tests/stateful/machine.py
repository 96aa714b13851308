"""The machine: all steps, in any order, and the invariants of design §10 after each of them.

They are asked for at the node that did not do the step: what one node committed, the other must see at once. Looking
at the account page counts as activity; so that is a step of its own, and the last thing in a run.
"""

from hypothesis.stateful import invariant

from tests.stateful.around import Around
from tests.stateful.clearing import Clearing
from tests.stateful.deciding import Deciding
from tests.stateful.ending import Ending
from tests.stateful.guessing import Guessing
from tests.stateful.using import Using


class Machine(Using, Ending, Clearing, Guessing, Deciding, Around):
    """People, applications, thieves, operators and time, on two nodes."""

    runs_played = 0
    looks_taken = 0

    @invariant()
    def every_token_is_good_exactly_when_it_should_be(self) -> None:
        """I1, I2, I3: asked at the other node, in each of the three ways after a change and else in one, by turns."""
        self.turn += 1
        Machine.looks_taken += 1
        for number, family in enumerate(self.world.families):
            last, is_live = family.access[-1], family.is_live(self.now)
            is_good = is_live and last.expires_at > self.now and not last.denied
            state, by_turns = (last.text, is_live, is_good), (number + self.turn) % 3
            has_changed, family.seen = family.seen != state, state
            here, application = self.installation, family.application
            if has_changed or by_turns == 0:
                assert here.opens_userinfo(application, last.text, family.sub) == is_good, family
            if application.is_native or application.disabled:
                continue  # only a client with a secret, which still counts, may introspect
            if has_changed or by_turns == 1:
                assert here.is_active(application, last.text) == is_good, family
            if has_changed or by_turns == 2:
                assert here.is_active(application, family.texts[family.live]) == is_live, family

    @invariant()
    def no_copy_of_a_cookie_outlives_its_sign_in(self) -> None:
        for place in self.world.places:
            for handle, until in list(place.handles.items()):
                if not place.is_live(self.now) or (until is not None and until <= self.now):
                    assert not self.installation.is_signed_in(handle), place
                    if place.ended:  # an end is final: these are asked about once more when the run is over
                        self.dead_handles.append(handle)
                    if place.ended or until is not None:
                        del place.handles[handle]

    @invariant()
    def nobody_is_told_of_what_did_not_end(self) -> None:
        """I4, I16: a notice goes out for what ended, only after it, to whom it concerns."""
        world = self.world
        for _, claims in self.installation.receiver.notices:
            assert claims["sid"] in world.due
            assert claims["aud"] == world.due[claims["sid"]][0]
            assert claims["toe"] == int(world.due[claims["sid"]][1].timestamp())
            assert world.subs[claims["sub"]].id == world.owners[claims["sid"]].id
            assert "nonce" not in claims
        assert not world.due.keys() & world.live_sids(self.now)

    @invariant()
    def every_deed_left_exactly_one_audit_row(self) -> None:
        """I18: neither none nor two, and about the right person; what matters to nobody's security leaves none."""
        world, came = self.world, self.installation.new_audit_rows()
        del came["audit_purged", ""]
        assert not world.trail - came, f"missing: {world.trail - came}"
        assert not came - world.trail - world.perhaps, f"too much: {came - world.trail - world.perhaps}"
        world.trail.clear()
        world.perhaps.clear()

    def teardown(self) -> None:
        """At the end of a run: everybody is told, or given up visibly after a day; and what is dead is dead."""
        here = self.installation
        if not hasattr(self, "world"):
            return
        Machine.runs_played += 1
        for window in self.open_windows:
            self.look_at_the_list(window)
        assert not any(here.is_signed_in(handle) for handle in self.dead_handles[-5:])
        here.receiver.statuses = [200]
        for _ in range(3):
            here.heart.clock.advance(minutes=11)
            here.deliver()
        told = [claims["sid"] for status, claims in here.receiver.notices if status == 200]
        self.see_who_was_given_up()
        assert len(told) == len(set(told))
        assert self.world.due.keys() == set(told) | self.given_up
