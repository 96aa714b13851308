"""`tool`: the command-line tool, and `signed_in`: the same with tokens."""

import pytest

from tests.examples.cli_app.tool import Tool


@pytest.fixture
def tool(provider, tmp_path):
    return Tool(provider, tmp_path / "configuration" / "tokens.json")


@pytest.fixture
def signed_in(tool, capsys):
    assert tool.run("login") == 0
    capsys.readouterr()
    tool.provider.requests.clear()
    return tool
