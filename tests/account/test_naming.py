"""Apps and tools can be given names: by their own person alone, readable, and taken back by an empty one."""

import pytest

from idp.db.models import AuditEvent, Session
from tests.account.test_choosing import session_of, token_of, tool_of
from tests.support.pages import Site


def test_a_tool_gets_a_name_that_the_list_and_the_history_show(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    tool = tool_of(site, ada)
    path = f"/account/sessions/{tool}"

    here.submit(here.page(path).form(f"{path}/rename"), button="rename", label="  Build   server ")

    assert "The name is changed." in here.page(path).text
    assert "Build server Drydock CLI" in here.page("/account/sessions").text
    site.heart.end(ada, tool)
    assert "Build server is signed out" in here.page(path).text
    assert len(site.heart.all(AuditEvent, AuditEvent.kind == "session_renamed")) == 1


def test_an_empty_name_gives_the_usual_one_back(site: Site) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    tool = tool_of(site, ada)
    path = f"/account/sessions/{tool}"
    here.submit(here.page(path).form(f"{path}/rename"), label="Build server")

    here.submit(here.page(path).form(f"{path}/rename"), label="")

    assert "Build server" not in here.page(path).text


@pytest.mark.parametrize("label", ["x" * 61, "a\u202eb", "a\x07b"])
def test_a_name_that_nobody_could_read_is_refused(site: Site, label: str) -> None:
    ada = site.person("ada")
    here = site.signed_in("ada")
    tool = tool_of(site, ada)
    path = f"/account/sessions/{tool}"

    here.submit(here.page(path).form(f"{path}/rename"), label=label)

    assert "The name was not changed" in here.page(path).text
    assert site.heart.session(tool).label == ""


def test_a_tool_of_another_person_and_a_browser_keep_their_names(site: Site) -> None:
    site.person("ada")
    bob = site.person("bob")
    here = site.signed_in("ada")
    tool = tool_of(site, bob)
    for target in (tool, session_of(here), "nonsense"):
        data = {"csrf_token": token_of(here), "label": "Mine"}
        assert here._open(f"/account/sessions/{target}/rename", "POST", data=data).status_code == 303

    assert [row.label for row in site.heart.all(Session) if row.label] == []
