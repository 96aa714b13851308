"""Orders of events around the ends of a selection, of one application, and of an account or an application for good."""

from datetime import timedelta

from tests.stateful.told import BOARD, TOOL, WIKI, Told

TWENTY_DAYS = 20 * 86_400


def test_what_lies_unused_ends_and_a_refresh_is_a_use(story: Told) -> None:
    _, used = story.connect_in_window(story.ada, TOOL)
    _, unused = story.connect_in_window(story.ada, WIKI, offline=True)
    story.wait(TWENTY_DAYS)
    story.refresh(used, 0, False, 0)
    window = story.sign_in(story.ada, False, 0)

    story.end_unused(window, 30, 1)
    assert unused.is_live(story.machine.now)
    story.end_unused(window, 7, 1)

    assert unused.place.ended
    assert used.is_live(story.machine.now)


def test_what_was_ticked_ends_with_the_tools_that_it_approved_and_what_time_had_ended_is_left_to_the_sweep(
    story: Told,
) -> None:
    _, over = story.connect_in_window(story.ada, TOOL)
    story.wait(2_700_000)
    browser, tool = story.connect_in_window(story.ada, TOOL)
    ticked = story.redeem(story.authorize(browser, WIKI, False, None, True, 0), "rightly", 0)
    window = story.sign_in(story.ada, False, 0)

    story.end_selected(window, [over, ticked], 1)
    assert tool.is_live(story.machine.now)
    browser, tool = story.connect_in_window(story.ada, TOOL)
    ticked = story.redeem(story.authorize(browser, WIKI, False, None, True, 0), "rightly", 0)
    story.end_selected(window, [over, ticked], 0, with_tools=True)
    story.sweep(0)

    assert tool.place.ended
    assert browser.place.ended


def test_a_refresh_that_touched_the_family_only_is_a_use_too(story: Told) -> None:
    _, family = story.connect_in_window(story.ada, TOOL)
    for pause in (3_700, 3_000):  # the first touches the sign-in, which the second is too early for
        story.wait(pause)
        story.refresh(family, 0, False, 0)
    story.wait(7 * 86_400 - 2_000)
    window = story.sign_in(story.ada, False, 0)

    story.end_unused(window, 7, 1)
    assert family.is_live(story.machine.now)
    story.wait(2_000)
    story.end_unused(window, 7, 0)

    assert family.place.ended


def test_one_application_signed_out_in_one_browser_stays_in_another_and_keeps_what_it_was_allowed(story: Told) -> None:
    window, here = story.connect_in_window(story.ada, WIKI)
    _, there = story.connect_in_window(story.ada, WIKI)
    code = story.authorize(window, WIKI, False, None, True, 0)

    story.end_an_application_in_one_place(window, here, 1)
    story.redeem(code, "rightly", 0)
    again = story.redeem(story.authorize(window, WIKI, False, "none", True, 1), "rightly", 0)

    assert there.is_live(story.machine.now)
    assert again.sid != here.sid
    assert window.place.is_live(story.machine.now)


def test_one_application_signed_out_everywhere_leaves_the_others_and_other_people(story: Told) -> None:
    window, _ = story.connect_in_window(story.ada, WIKI)
    _, tool = story.connect_in_window(story.ada, WIKI, offline=True)
    other = story.redeem(story.authorize(window, BOARD, False, None, True, 0), "rightly", 0)
    _, of_bob = story.connect_in_window(story.bob, WIKI)

    story.end_an_application_everywhere(window, WIKI, 1)
    story.deliver(0)

    assert tool.place.ended
    assert other.is_live(story.machine.now)
    assert of_bob.is_live(story.machine.now)


def test_all_browsers_end_and_tools_stay_and_nothing_half_way_counts(story: Told) -> None:
    window, tool = story.connect_in_window(story.ada, TOOL)
    other = story.sign_in(story.ada, False, 1)
    code = story.authorize(window, WIKI, True, None, True, 0)

    story.end_all_browsers(window, False, 1)
    story.redeem(code, "rightly", 0)
    assert other.place.ended
    story.end_all_browsers(window, True, 0)

    assert window.place.ended
    assert tool.is_live(story.machine.now)


def test_everybody_is_signed_out_and_nothing_half_way_counts(story: Told) -> None:
    window, of_ada = story.connect_in_window(story.ada, TOOL)
    _, of_bob = story.connect_in_window(story.bob, WIKI)
    code = story.authorize(window, WIKI, True, None, True, 0)
    story.wait(1)

    story.operator_ends_for_everybody(WIKI)
    assert of_ada.is_live(story.machine.now)
    story.operator_ends_for_everybody(None)
    story.redeem(code, "rightly", 1)

    assert not any(family.is_live(story.machine.now) for family in (of_ada, of_bob))


def test_who_signed_in_while_clocks_were_ahead_stays_when_everybody_is_signed_out_but_nothing_half_way_of_theirs(
    story: Told,
) -> None:
    old = story.sign_in(story.ada, False, 0)
    story.wait(11)
    window = story.sign_in(story.ada, False, 0)
    code = story.authorize(window, WIKI, True, None, True, 0)
    story.step_the_clock_back()

    story.operator_ends_for_everybody(None)
    story.redeem(code, "rightly", 1)

    assert old.place.ended
    assert window.place.is_live(story.machine.now)
    assert not story.machine.world.families


def test_what_a_restored_back_up_may_have_revived_is_over_and_nothing_half_way_counts(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    question = story.leave_a_question_open(window, BOARD, True, 0)
    code = story.authorize(window, TOOL, True, None, True, 0)
    story.wait(61)
    old = story.sign_in(story.bob, False, 0)
    fresh = story.authorize(old, WIKI, True, None, True, 0)

    story.operator_restored_a_back_up(timedelta(minutes=1))
    story.answer_the_question(question, True, True, 1)
    story.redeem(code, "rightly", 0)
    story.redeem(fresh, "rightly", 1)
    story.refresh(family, 0, False, 1)
    story.deliver(0)

    assert window.place.ended
    assert old.place.ended


def test_whoever_takes_the_name_of_somebody_deleted_is_somebody_else(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    question = story.leave_a_question_open(window, BOARD, True, 0)

    namesake = story.delete_a_person(story.ada)
    _, anew = story.connect_in_window(namesake, WIKI)
    story.answer_the_question(question, True, True, 1)
    story.refresh(family, 0, False, 1)

    assert anew.is_live(story.machine.now)
    assert anew.sub != family.sub


def test_an_application_that_was_deleted_holds_nothing_and_its_namesake_inherits_nothing(story: Told) -> None:
    window, family = story.connect_in_window(story.ada, WIKI)
    _, tool = story.connect_in_window(story.ada, TOOL)
    code = story.authorize(window, WIKI, True, None, True, 0)

    story.delete_an_application(WIKI)
    story.delete_an_application(TOOL)
    story.refresh(tool, 0, False, 0)
    story.redeem(code, "rightly", 1)
    story.revoke(tool, 0, False, 1)
    story.sign_out_by_an_application(window, family, False, 0)
    story.deliver(1)

    assert family.sid in story.machine.world.due
    assert tool.place.ended
