"""What an operator may decide at run time: names, bounds, order, audit."""

from datetime import timedelta
from functools import partial

import pytest

from idp.db.models import AuditEvent, Client, PolicyValue
from idp.policy import KNOBS, Changed, PolicyProblem, find_knob, list_in_force, spell
from idp.policy.knobs import from_integer, to_integer
from idp.settings import Settings
from tests.support.heart import Heart, race


def refused(outcome: Changed | PolicyProblem) -> str:
    assert isinstance(outcome, PolicyProblem), outcome
    assert outcome.sentence.endswith(".")
    return outcome.sentence


def test_a_decision_is_kept_listed_and_audited_in_one_commit(heart: Heart) -> None:
    changed = heart.decide("browser-idle-lifetime", "8h")

    assert isinstance(changed, Changed)
    assert (changed.before, changed.after) == (timedelta(hours=24), timedelta(hours=8))
    with heart.database.reading() as tx:
        row = next(row for row in list_in_force(tx, heart.settings) if row.knob.name == "browser_idle_lifetime")
    assert (row.value, row.default, row.is_decided, row.set_at) == (changed.after, changed.before, True, heart.now)
    [event] = heart.all(AuditEvent, AuditEvent.kind == "policy_changed")
    assert event.actor == "operator"
    assert event.details == {"policy": "browser_idle_lifetime", "before": "1d", "after": "8h", "is_default": False}


def test_taking_a_decision_back_lets_the_setting_count_again(heart: Heart) -> None:
    heart.decide("app_idle_lifetime", "3d")

    changed = heart.decide("app_idle_lifetime", None)

    assert isinstance(changed, Changed)
    assert (changed.before, changed.after) == (timedelta(days=3), heart.settings.app_idle_lifetime)
    assert heart.all(PolicyValue, PolicyValue.name == "app_idle_lifetime") == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("sessions", "1", "There is no policy 'sessions'"),
        ("browser_idle_lifetime", "soon", "write 90, 5m, 24h or 28d"),
        ("browser_idle_lifetime", "-5m", "write 90, 5m, 24h or 28d"),
        ("browser_idle_lifetime", "299", "must be 5m to 3650d"),
        ("browser_idle_lifetime", "3651d", "must be 5m to 3650d"),
        ("browser_idle_lifetime", "91d", "would be longer than browser_absolute_lifetime (90d)"),
        ("browser_absolute_lifetime", "1d", "keep_signed_in_idle_lifetime (28d) would be longer"),
        ("keep_signed_in", "perhaps", "write on or off"),
        ("app_sessions_per_client", "10001", "must be 0 to 10000"),
        ("app_sessions_per_client", "5m", "write a whole number"),
        ("app_sessions_per_client", "²", "write a whole number"),
        ("refresh_leeway_lifetime", "61", "must be 0s to 1m"),
        ("lost_answer_lifetime", "8d", "must be 0s to 7d"),
        ("access_token_lifetime", "1m", "for all it is IDP_ACCESS_TOKEN_LIFETIME"),
        ("browser_idle_lifetime\x00", "8h", "There is no policy"),
    ],
)
def test_what_may_not_be_is_refused_in_a_sentence_and_changes_nothing(
    heart: Heart, name: str, text: str, says: str
) -> None:
    assert says in refused(heart.decide(name, text))

    assert [row.value for row in heart.all(PolicyValue) if row.name != "revision" or row.value] == []
    assert heart.all(AuditEvent, AuditEvent.kind == "policy_changed") == []


def test_a_client_may_have_its_own_within_the_same_bounds(heart: Heart) -> None:
    client = heart.client()

    changed = heart.decide("app_idle_lifetime", "2d", client)
    refused(heart.decide("app_absolute_lifetime", "1d", client))  # shorter than its own idle time
    refused(heart.decide("browser_idle_lifetime", "2d", client))

    assert isinstance(changed, Changed)
    [row] = heart.all(Client, Client.id == client.id)
    assert (row.app_idle_lifetime, row.app_absolute_lifetime) == (timedelta(days=2), None)
    with heart.database.reading() as tx:
        rows = {
            row.knob.name: (spell(row.value), row.is_decided) for row in list_in_force(tx, heart.settings, client=row)
        }
    assert rows["app_idle_lifetime"] == ("2d", True)
    assert rows["lost_answer_lifetime"] == ("1d", False)
    assert "browser_idle_lifetime" not in rows
    assert [event.client_id for event in heart.all(AuditEvent, AuditEvent.kind == "policy_changed")] == [client.id]


def test_a_client_that_does_not_exist_has_no_policy(heart: Heart) -> None:
    gone = heart.client()
    heart.change(gone, deleted_at=heart.now)

    assert "No application" in refused(heart.decide("app_idle_lifetime", "2d", gone))


def test_access_tokens_of_one_client_may_only_live_shorter(heart: Heart) -> None:
    client = heart.client()

    assert "may only be shorter" in refused(heart.decide("access_token_lifetime", "6m", client))
    assert isinstance(heart.decide("access_token_lifetime", "1m", client), Changed)

    [client] = heart.all(Client, Client.id == client.id)
    issued = heart.tokens_for(heart.sign_in(heart.person()), client)
    assert issued.access_expires_at == heart.now.replace(microsecond=0) + timedelta(minutes=1)


def test_two_decisions_that_contradict_each_other_together_are_never_both_taken(heart: Heart) -> None:
    """Each is in order by itself; only waiting for each other shows that they are not."""
    raising = partial(heart.decide, "browser_idle_lifetime", "80d")
    lowering = partial(heart.decide, "browser_absolute_lifetime", "60d")

    outcomes = race([raising, lowering] * 4)

    assert {type(outcome) for outcome in outcomes} == {Changed, PolicyProblem}
    with heart.database.reading() as tx:
        values = {row.knob.name: row.value for row in list_in_force(tx, heart.settings)}
    assert to_integer(values["browser_idle_lifetime"]) <= to_integer(values["browser_absolute_lifetime"])


def test_every_knob_has_a_setting_as_its_default_and_is_written_as_it_is_read(heart: Heart) -> None:
    for knob in KNOBS:
        assert (knob.follows or knob.name) in Settings.model_fields
        value = knob.default(heart.settings)
        assert knob.is_within_bounds(value), knob.name
        assert knob.read(spell(value)) == value
        assert from_integer(knob, to_integer(value)) == value
        assert find_knob(knob.name.replace("_", "-").upper()) is knob


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0s"), (1, "1s"), (90, "90s"), (120, "2m"), (5400, "90m"), (86_400, "1d")]
)
def test_lengths_of_time_are_written_in_the_largest_unit_that_fits(seconds: int, written: str) -> None:
    assert spell(timedelta(seconds=seconds)) == written
