"""The blueprint that the logout pages register on."""

from flask import Blueprint

blueprint = Blueprint("logout", __name__)
