"""Floor 5, oauth: the desk where clients ask for codes, tokens and facts. The only home of Authlib.

Owns `/oauth2/authorize`, the consent page, token, revocation, introspection, userinfo, JWKS and discovery. Each route
parses, opens one transaction, calls one rule and answers; what is allowed is decided in the rooms below.
"""

from typing import cast

from flask import Blueprint, Flask
from flask.blueprints import BlueprintSetupState

from idp.oauth import authorize, programs
from idp.oauth.documents import prepare_documents
from idp.oauth.short_way import go_the_short_way

__all__ = ["blueprint"]

blueprint = Blueprint("oauth", __name__)
authorize.register(blueprint)
programs.register(blueprint)


@blueprint.record
def _go_before_flask(state: BlueprintSetupState) -> None:
    prepare_documents(cast("Flask", state.app), state.url_prefix or "")
    go_the_short_way(cast("Flask", state.app), state.url_prefix or "")


@blueprint.record
def _insert_well_known(state: BlueprintSetupState) -> None:
    """RFC 8414 §3.1: for an issuer with a path, the well-known part stands between host and path."""
    if state.url_prefix:
        for name in ("oauth-authorization-server", "openid-configuration"):
            state.app.add_url_rule(
                f"/.well-known/{name}{state.url_prefix}",
                f"oauth.inserted_{name.replace('-', '_')}",
                programs.discovery,
                methods=["GET", "OPTIONS"],
                provide_automatic_options=False,
            )
