"""Password hashes: argon2id, the same cost for nobody, a bounded number at a time, no exception for odd input."""

import threading
import time
from statistics import median

import pytest

from idp.kit.opaque import Secret
from idp.users import (
    PasswordChecks,
    PasswordChecksBusy,
    find_password_problem,
    hash_password,
    needs_rehash,
    verify_password,
)
from idp.users.passwords import MAX_PASSWORD_LENGTH

pytestmark = pytest.mark.usefixtures("costly_passwords")

ODD = ["", "\x00", "\ud800", "p\x00q", "x" * 1_000_000, "é" * 2000, "🔑" * 300, " "]


@pytest.mark.spec("RFC 9106", "4")
def test_a_password_is_hashed_with_argon2id_at_19_mib_two_passes_one_lane() -> None:
    assert hash_password(Secret("correct horse")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_right_password_is_accepted_and_a_wrong_one_refused() -> None:
    stored = hash_password(Secret("correct horse"))

    assert verify_password(stored, Secret("correct horse"))
    assert not verify_password(stored, Secret("correct horse "))
    assert not verify_password(stored, Secret("Correct horse"))


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password(Secret("correct horse")) != hash_password(Secret("correct horse"))


@pytest.mark.spec("NIST SP 800-63B", "3.1.1.2")
def test_both_unicode_forms_of_a_password_are_one_password() -> None:
    stored = hash_password(Secret("caf\u00e9 au lait"))

    assert verify_password(stored, Secret("cafe\u0301 au lait"))


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("stored", [None, "", "no hash", "$argon2id$v=19$m=19456,t=2,p=1$x$y"])
def test_odd_input_is_a_no_and_never_an_exception(text: str, stored: str | None) -> None:
    assert not verify_password(stored, Secret(text))


@pytest.mark.parametrize("text", ["p\x00q", "\ud800abc", "x" * MAX_PASSWORD_LENGTH])
def test_odd_passwords_that_were_stored_once_still_verify(text: str) -> None:
    assert verify_password(hash_password(Secret(text)), Secret(text))


def test_length_limits_are_told_before_hashing() -> None:
    assert find_password_problem(Secret("x" * 8)) is None
    assert find_password_problem(Secret("x" * MAX_PASSWORD_LENGTH)) is None
    assert "at least 8" in str(find_password_problem(Secret("x" * 7)))
    assert "at most 1024" in str(find_password_problem(Secret("x" * (MAX_PASSWORD_LENGTH + 1))))
    assert find_password_problem(Secret("eight\x00chars")) is not None
    assert find_password_problem(Secret("eight\ud800chars")) is not None
    with pytest.raises(ValueError, match="too long"):
        hash_password(Secret("x" * (MAX_PASSWORD_LENGTH + 1)))


def test_an_unknown_account_costs_as_much_as_a_wrong_password() -> None:
    stored = hash_password(Secret("correct horse"))
    verify_password(None, Secret("warm up"))

    def seconds(which: str | None) -> float:
        began = time.process_time()
        verify_password(which, Secret("wrong"))
        return time.process_time() - began

    known, unknown = median(seconds(stored) for _ in range(7)), median(seconds(None) for _ in range(7))

    assert 0.5 < unknown / known < 2


def test_a_hash_with_weaker_parameters_asks_to_be_renewed() -> None:
    from argon2 import PasswordHasher

    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("x"))
    assert not needs_rehash(hash_password(Secret("x")))
    assert not needs_rehash("no hash")


def test_when_all_places_are_taken_the_next_check_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = PasswordChecks(2, wait_seconds=0.05)
    inside, may_go = threading.Semaphore(0), threading.Event()

    def slow(_stored: str | None, _password: Secret) -> bool:
        inside.release()
        may_go.wait(10)
        return True

    monkeypatch.setattr("idp.users.passwords.verify_password", slow)
    threads = [threading.Thread(target=checks.verify, args=(None, Secret("x"))) for _ in range(2)]
    for thread in threads:
        thread.start()
        inside.acquire()

    with pytest.raises(PasswordChecksBusy):
        checks.verify(None, Secret("x"))

    may_go.set()
    for thread in threads:
        thread.join()
    assert checks.verify(None, Secret("x"))


def test_a_place_is_given_back_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = PasswordChecks(1, wait_seconds=0)

    with pytest.raises(ValueError, match="too long"):
        checks.hash(Secret("x" * 5000))

    assert checks.hash(Secret("correct horse"))


def test_hashes_are_made_in_as_many_threads_as_there_are_places_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, used = PasswordChecks(2), set[str]()

    def note(_stored: str | None, _password: Secret) -> bool:
        used.add(threading.current_thread().name)
        return True

    monkeypatch.setattr("idp.users.passwords.verify_password", note)
    askers = [threading.Thread(target=checks.verify, args=(None, Secret("x"))) for _ in range(12)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert 1 <= len(used) <= 2  # malloc keeps the memory of a hash for each thread that ever made one
    assert not used & {asker.name for asker in askers}


def test_secrets_show_nothing_in_messages() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is the point
        hash_password(Secret("hunter2" * 1000))

    assert "hunter2" not in repr(caught.value)
