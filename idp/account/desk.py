"""The blueprint that the account pages register on."""

from flask import Blueprint

blueprint = Blueprint("account", __name__)
