"""Orders of events worth keeping: what a random run hits once in a thousand, and what once went wrong.

Each is played by the machine, with all invariants asked for after every step; a run that failed is shrunk by Hypothesis
to such a list of steps, and is added here.
"""

from tests.stateful.told import BOARD, TOOL, WIKI, Told


def test_a_question_from_before_everywhere_else_counts_no_more_even_in_the_browser_that_stayed(story: Told) -> None:
    window = story.sign_in(story.ada, False, 0)
    question = story.leave_a_question_open(window, WIKI, False, 0)
    story.end_everything_else(window, 1)

    story.answer_the_question(question, True, False, 0)
    story.answer_the_question(question, True, True, 1)

    assert not story.machine.world.codes


def test_a_code_from_before_everywhere_else_is_worth_nothing_though_its_browser_stayed(story: Told) -> None:
    window = story.sign_in(story.ada, False, 0)
    code = story.authorize(window, WIKI, True, None, True, 0)
    story.end_everything_else(window, 1)

    story.redeem(code, "rightly", 0)

    assert not story.machine.world.families


def test_a_question_whose_person_gave_way_to_another_is_answered_by_nobody(story: Told) -> None:
    window = story.sign_in(story.ada, False, 0)
    question = story.leave_a_question_open(window, BOARD, True, 1)
    story.sign_in_again(window, story.bob, False, 1)

    story.answer_the_question(question, True, False, 0)
    story.answer_the_question(question, True, True, 0)

    assert not story.machine.world.codes


def test_an_open_question_outlives_a_sign_out_elsewhere_and_counts_once(story: Told) -> None:
    window, other = story.sign_in(story.ada, False, 0), story.sign_in(story.ada, False, 1)
    question = story.leave_a_question_open(window, WIKI, True, 0)
    story.sign_out(other, 1)

    story.answer_the_question(question, True, False, 1)
    story.answer_the_question(question, True, False, 0)

    assert len(story.machine.world.codes) == 1


def test_a_code_from_before_a_new_password_is_worth_nothing_though_the_sign_in_goes_on(story: Told) -> None:
    window = story.sign_in(story.ada, False, 0)
    code = story.authorize(window, WIKI, True, None, True, 0)
    story.set_password(story.ada, True)

    story.redeem(code, "rightly", 1)

    assert not story.machine.world.families
    assert window.place.is_live(story.machine.now)


def test_a_thief_with_the_parent_and_a_victim_with_the_child_end_at_the_third_turn(story: Told) -> None:
    _, family = story.connect_in_window(story.ada, TOOL)
    story.refresh(family, 0, False, 0)
    story.wait(11)
    story.refresh(family, 1, False, 1)
    story.wait(11)

    story.refresh(family, 1, False, 0)

    assert not family.is_live(story.machine.now)
    assert family.place.ended


def test_a_clock_that_steps_back_turns_no_retry_into_a_theft(story: Told) -> None:
    _, family = story.connect_in_window(story.ada, WIKI, offline=True)
    story.refresh(family, 0, False, 0)
    story.step_the_clock_back()

    story.refresh(family, 1, False, 1)
    story.refresh(family, 0, False, 0)

    assert (family.live, family.parent) == (2, 1)


def test_a_family_revoked_by_its_client_is_still_told_of_the_sign_out(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    story.revoke(family, 0, False, 0)
    story.sign_out(window, 1)

    story.deliver(0)

    assert family.sid in story.machine.world.due


def test_a_hint_of_a_tool_ends_the_tool_and_leaves_the_browser_until_confirmed(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, TOOL)

    story.sign_out_by_an_application(window, family, False, 1)

    assert family.place.ended
    assert window.place.is_live(story.machine.now)


def test_a_hint_of_somebody_elses_browser_ends_nothing_of_theirs(story: Told) -> None:
    window = story.sign_in(story.bob, False, 0)
    _, family = story.connect_in_window(story.ada, WIKI)

    story.sign_out_by_an_application(window, family, True, 1)

    assert family.is_live(story.machine.now)
    assert not window.place.is_live(story.machine.now)


def test_a_consent_taken_back_and_given_again_gives_another_sid(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    story.withdraw(window, WIKI, 1)

    again = story.redeem(story.authorize(window, WIKI, False, None, True, 0), "rightly", 0)

    assert again.sid != family.sid
    assert again.place is family.place


def test_refreshing_keeps_a_forgotten_browser_signed_in_but_not_beyond_its_absolute_end(story: Told) -> None:
    _, family = story.connect_in_window(story.ada, WIKI)
    for _ in range(3):
        story.wait(2_300_000)
        story.refresh(family, 0, False, 0)
    assert family.is_live(story.machine.now)

    story.wait(1_300_000)

    assert not family.is_live(story.machine.now)
    story.refresh(family, 0, False, 1)
    story.sweep(1)
    assert family.sid in story.machine.world.due


def test_an_application_that_is_away_for_days_is_given_up_visibly(story: Told) -> None:
    window, _ = story.connect_in_window(story.ada, WIKI)
    story.the_receiver_changes(True)
    story.end_everything(window, 0)
    story.deliver(0)
    story.wait(86_500)
    story.deliver(1)
    story.wait(86_500)

    story.deliver(1)
    story.see_who_was_given_up()

    assert len(story.machine.given_up) == 1


def test_a_code_used_twice_ends_what_it_gave_also_after_a_restart(story: Told) -> None:
    window = story.sign_in(story.ada, False, 0)
    code = story.authorize(window, BOARD, True, None, True, 0)
    family = story.redeem(code, "rightly", 0)
    story.restart(1)

    story.redeem(code, "rightly", 1)

    assert family.revoked
    assert family.place.ended
