"""`/healthz`, `/readyz` and `/metrics`: from memory or from bounded checks; none knows sessions or forms."""

from typing import Any, cast

from flask import Blueprint, Flask, Response, jsonify, request
from flask import current_app as app
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import NotFound

from idp.kit.metrics import CONTENT_TYPE
from idp.operation.exposition import Exposition, may_read
from idp.operation.readiness import Readiness
from idp.web import current_services
from idp.web.services import EXTENSION

blueprint = Blueprint("operation", __name__)
_READINESS = "idp.readiness"
_EXPOSITION = "idp.exposition"
_RETRY_SECONDS = "5"


@blueprint.record
def _prepare(state: BlueprintSetupState) -> None:
    # Opens no connection and starts no thread: a server may fork afterwards.
    extensions: dict[str, Any] = cast("Flask", state.app).extensions
    services = extensions[EXTENSION]
    extensions[_READINESS] = Readiness(services)
    extensions[_EXPOSITION] = Exposition(services)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers. Says nothing of the database: restarting this process would not bring that back."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> Response:
    """200 when this node may be sent requests, else 503; the findings of each check either way."""
    report = app.extensions[_READINESS].ask()
    response = jsonify(
        status="ready" if report.is_ready else "not ready",
        checks=[{"name": check.name, "state": check.state, "message": check.message} for check in report.checks],
    )
    if not report.is_ready:
        response.status_code = 503
        response.headers["Retry-After"] = _RETRY_SECONDS
    return response


@blueprint.get("/metrics")
def metrics() -> Response:
    """For those who hold the token; without a token in the settings there is nothing here."""
    token = current_services().settings.metrics_token
    if token is None:
        raise NotFound
    if not may_read(request.headers.get("Authorization"), token):
        response = jsonify(error="invalid_token")
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return response
    return Response(app.extensions[_EXPOSITION].render(), content_type=CONTENT_TYPE)
