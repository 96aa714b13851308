"""Orders of events in which operators decide something, people guess, or too many copies of an app sign in."""

from datetime import timedelta

from tests.stateful.told import BOARD, TOOL, WIKI, Told

NOW = timedelta(0)


def test_a_shorter_idle_time_out_ends_browsers_at_once_and_a_longer_one_brings_back_what_nobody_wrote_down(
    story: Told,
) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    story.wait(3_700)
    story.decide(("keep_signed_in_idle_lifetime", "1h"), None)
    assert not family.is_live(story.machine.now)
    story.look_at_the_list(window)

    story.decide(("keep_signed_in_idle_lifetime", None), None)
    story.look_at_the_list(window)
    assert family.is_live(story.machine.now)
    story.wait(3_700)
    story.decide(("keep_signed_in_idle_lifetime", "1h"), None)
    story.sweep(1)
    story.decide(("keep_signed_in_idle_lifetime", None), None)

    assert window.place.ended
    assert family.sid in story.machine.world.due


def test_nobody_stays_signed_in_once_that_is_switched_off_and_a_sweep_takes_it_for_good(story: Told) -> None:
    window, other = story.sign_in(story.ada, True, 0), story.sign_in(story.bob, True, 1)
    story.decide(("keep_signed_in", "off"), None)
    story.sweep(0)
    story.decide(("keep_signed_in", None), None)
    story.sign_in_again(other, story.bob, True, 0)
    story.wait(86_500)

    story.look_at_the_list(window)
    story.look_at_the_list(other)

    assert not window.place.is_live(story.machine.now)
    assert other.place.is_live(story.machine.now)


def test_whoever_was_kept_signed_in_is_like_everybody_else_from_the_moment_it_is_switched_off(story: Told) -> None:
    window = story.sign_in(story.ada, True, 0)
    story.wait(86_500)
    story.look_at_the_list(window)
    story.decide(("keep_signed_in", "off"), None)
    story.look_at_the_list(window)
    story.wait(86_500)

    story.look_at_the_list(window)

    assert not window.place.is_live(story.machine.now)


def test_whoever_signs_in_again_without_the_tick_is_kept_no_longer(story: Told) -> None:
    window = story.sign_in(story.ada, True, 0)
    story.sign_in_again(window, story.ada, False, 1)
    story.wait(86_500)

    story.look_at_the_list(window)

    assert not window.place.is_live(story.machine.now)


def test_an_application_of_shorter_lifetimes_ends_its_own_copies_and_no_other_application_s(story: Told) -> None:
    _, tool = story.connect_in_window(story.ada, TOOL)
    _, wiki = story.connect_in_window(story.ada, WIKI, offline=True)
    story.decide(("app_idle_lifetime", "1h"), TOOL)
    story.wait(3_700)

    story.refresh(tool, 0, False, 0)
    story.refresh(wiki, 0, False, 1)
    story.sweep(0)

    assert tool.place.ended
    assert wiki.is_live(story.machine.now)


def test_leeway_window_and_access_token_of_an_application_are_its_own(story: Told) -> None:
    _, family = story.connect_in_window(story.ada, WIKI, offline=True)
    story.decide(("refresh_leeway_lifetime", "0s"), WIKI)
    story.decide(("lost_answer_lifetime", "1h"), WIKI)
    story.decide(("access_token_lifetime", "60s"), WIKI)
    story.decide(("access_token_lifetime", "1h"), WIKI)  # refused: longer than the installation's
    story.refresh(family, 0, False, 0)
    story.wait(1)
    story.refresh(family, 0, False, 1)
    story.wait(3_700)

    story.refresh(family, 1, False, 0)

    assert family.place.ended


def test_an_application_of_its_own_lifetimes_is_signed_out_of_a_browser_that_goes_on(story: Told) -> None:
    window, wiki = story.connect_in_window(story.ada, WIKI)
    board = story.redeem(story.authorize(window, BOARD, False, None, True, 0), "rightly", 0)
    story.decide(("participation_absolute_lifetime", "1h"), WIKI)
    story.decide(("participation_idle_lifetime", "2d"), WIKI)  # refused: longer than the absolute lifetime
    story.decide(("participation_idle_lifetime", "15m"), WIKI)
    story.wait(302)
    story.refresh(wiki, 0, False, 1)
    story.wait(901)
    story.refresh(wiki, 0, False, 0)
    again = story.redeem(story.authorize(window, WIKI, False, None, True, 1), "rightly", 0)
    story.wait(901)
    code = story.authorize(window, WIKI, False, None, True, 1)
    story.sweep(0)

    last = story.redeem(code, "rightly", 0)

    assert len({wiki.sid, again.sid, last.sid}) == 3
    assert board.is_live(story.machine.now)


def test_no_refresh_moves_the_longest_lifetime_of_an_application_s_part(story: Told) -> None:
    window, wiki = story.connect_in_window(story.ada, WIKI)
    story.decide(("participation_absolute_lifetime", "1h"), WIKI)
    for _ in range(4):
        story.refresh(wiki, 0, False, 1)
        story.wait(901)

    story.refresh(wiki, 0, False, 0)
    story.sweep(1)

    assert wiki.sid in story.machine.world.due
    assert window.place.is_live(story.machine.now)


def test_everyone_is_asked_to_sign_in_again_and_whoever_did_goes_on(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    _, tool = story.connect_in_window(story.bob, TOOL)
    story.wait(61)
    story.sign_in_again(window, story.ada, True, 0)
    story.ask_everyone_to_sign_in_again(timedelta(minutes=1))
    assert family.is_live(story.machine.now)
    assert not tool.is_live(story.machine.now)

    story.sweep(1)
    story.ask_everyone_to_sign_in_again(timedelta(days=2))  # never back

    assert tool.place.ended
    assert window.place.is_live(story.machine.now)


def test_an_application_takes_newer_sign_ins_only_and_its_browser_goes_on_elsewhere(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    code = story.authorize(window, WIKI, False, None, True, 0)
    board = story.redeem(story.authorize(window, BOARD, False, None, True, 0), "rightly", 0)
    question = story.leave_a_question_open(window, WIKI, False, 0)
    story.wait(1)
    story.ask_the_people_of_an_application_to_sign_in_again(WIKI, NOW)

    story.redeem(code, "rightly", 1)
    story.authorize(window, WIKI, False, "none", True, 1)
    story.answer_the_question(question, True, True, 1)
    assert len(story.machine.world.families) == 2
    story.sign_in_again(window, story.ada, True, 0)
    again = story.redeem(story.authorize(window, WIKI, False, None, True, 1), "rightly", 0)

    assert not family.is_live(story.machine.now)
    assert board.is_live(story.machine.now)
    assert again.sid != family.sid


def test_what_rests_on_the_older_of_two_sign_ins_in_one_browser_is_over_for_the_application_that_asks(
    story: Told,
) -> None:
    window, older = story.connect_in_window(story.ada, WIKI)
    code = story.authorize(window, WIKI, False, None, True, 1)
    story.wait(11)
    story.sign_in_again(window, story.ada, True, 0)
    newer = story.redeem(story.authorize(window, WIKI, False, None, True, 1), "rightly", 0)

    story.ask_the_people_of_an_application_to_sign_in_again(WIKI, timedelta(seconds=5))
    story.redeem(code, "rightly", 0)

    assert not older.is_live(story.machine.now)
    assert newer.is_live(story.machine.now)
    assert older.sid == newer.sid


def test_a_person_is_asked_to_sign_in_again_and_nobody_else(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    _, tool = story.connect_in_window(story.bob, TOOL)
    story.wait(1)

    story.ask_a_person_to_sign_in_again(story.ada, NOW)

    assert window.place.ended
    assert family.sid in story.machine.world.due
    assert tool.is_live(story.machine.now)


def test_one_copy_too_many_sends_the_one_unused_longest_away(story: Told) -> None:
    story.decide(("app_sessions_per_client", "2"), TOOL)
    _, first = story.connect_in_window(story.ada, TOOL)
    story.wait(11)
    _, second = story.connect_in_window(story.ada, TOOL)
    _, of_bob = story.connect_in_window(story.bob, TOOL)
    story.wait(11)
    story.refresh(first, 0, False, 1)
    story.wait(1)

    _, third = story.connect_in_window(story.ada, TOOL)

    assert [one.place.ended for one in (first, second, third, of_bob)] == [False, True, False, False]
    assert second.sid in story.machine.world.due


def test_guesses_at_both_pages_and_by_both_names_come_out_of_one_budget(story: Told) -> None:
    window = story.sign_in(story.ada, False, 0)
    story.guess(story.ada, 2, True, 0)
    story.change_password(window, False, False, 1)
    story.guess(story.ada, 1, False, 1)
    story.change_password(window, True, False, 0)  # right, and yet not looked at
    story.sign_in(story.ada, False, 1)
    story.sign_in(story.bob, False, 1)
    story.wait(901)

    story.change_password(window, True, False, 0)

    assert story.ada.epoch == 1
    story.sign_in(story.ada, False, 1)


def test_a_new_password_ends_everything_else_and_may_leave_the_tools(story: Told) -> None:
    window, wiki = story.connect_in_window(story.ada, WIKI)
    elsewhere, tool = story.connect_in_window(story.ada, TOOL)
    code = story.authorize(window, WIKI, False, None, True, 0)

    story.change_password(window, True, True, 1)

    story.redeem(code, "rightly", 0)
    assert wiki.is_live(story.machine.now)
    assert tool.is_live(story.machine.now)
    assert elsewhere.place.ended


def test_the_browser_that_signs_out_asks_the_applications_that_took_part_in_it(story: Told) -> None:
    window, _ = story.connect_in_window(story.ada, BOARD)
    _, elsewhere = story.connect_in_window(story.ada, BOARD)
    story.redeem(story.authorize(window, WIKI, False, None, True, 0), "rightly", 1)

    story.sign_out(window, 1)

    assert elsewhere.is_live(story.machine.now)


def test_a_browser_asks_for_nobody_but_itself_also_when_it_signs_out_everywhere(story: Told) -> None:
    window, _ = story.connect_in_window(story.ada, BOARD)
    story.connect_in_window(story.ada, BOARD)

    story.end_everything(window, 1)

    assert not any(place.is_live(story.machine.now) for place in story.machine.world.places)


def test_a_code_from_before_an_application_was_disabled_never_counts_again_also_when_a_clock_steps_back(
    story: Told,
) -> None:
    window = story.sign_in(story.ada, False, 0)
    code = story.authorize(window, WIKI, False, None, True, 0)
    story.wait(61)
    story.disable_or_enable_an_application(WIKI, True)
    story.disable_or_enable_an_application(WIKI, False)
    story.step_the_clock_back()

    story.redeem(code, "rightly", 1)

    assert not story.machine.world.families
