"""Identifiers made many at once are as good as those made one by one."""

from datetime import UTC, datetime, timedelta

from idp.kit.identifiers import identifier_to_bytes, is_identifier, new_identifier, new_identifiers, shard_key_in

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_many_identifiers_are_all_different_and_of_the_same_shard_and_moment() -> None:
    made = new_identifiers(4095, NOW, 1000)

    assert len(set(made)) == 1000
    assert len({identifier_to_bytes(one)[8:] for one in made}) == 1000
    assert all(is_identifier(one) and shard_key_in(one) == 4095 for one in made)
    assert {identifier_to_bytes(one)[:8] for one in made} == {identifier_to_bytes(new_identifier(4095, NOW))[:8]}
    assert max(made) < new_identifier(4095, NOW + timedelta(milliseconds=1))


def test_no_identifiers_are_none() -> None:
    assert new_identifiers(7, NOW, 0) == []
