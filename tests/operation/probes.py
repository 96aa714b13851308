"""A node whose checks have the right time, and are made anew for each question."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from werkzeug.test import TestResponse

from idp import outbox
from idp.kit.clock import SystemClock
from idp.operation.readiness import Readiness
from idp.web.services import Services
from tests.support.characters import Provider

OpenProvider = Callable[..., Provider]


class ProbedNode:
    """One node whose checks have the right time, and are made anew for each question."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.services: Services = replace(provider.services, clock=SystemClock())

    def ready(self) -> TestResponse:
        self.provider.app.extensions["idp.readiness"] = Readiness(self.services)
        return self.provider.get("/readyz")

    def findings(self) -> dict[str, tuple[str, str]]:
        body = self.ready().get_json()
        return {check["name"]: (check["state"], check["message"]) for check in body["checks"]}

    def report(self, *, seconds_ago: float = 0) -> None:
        with self.services.database.transaction() as tx:
            seen_at = self.services.clock.now() - timedelta(seconds=seconds_ago)
            outbox.report_worker(tx, name="node-1:1:x", now=seen_at)
