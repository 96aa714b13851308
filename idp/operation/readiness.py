"""`Readiness`: may this node be sent requests? The checks, bounded in time and frequency, and the mark of draining."""

from dataclasses import dataclass
from threading import Lock

import structlog

from idp.kit.run_folder import is_draining
from idp.operation.bounded import BOUND_SECONDS, Bounded
from idp.operation.checks import Check, CheckNode, State, check_node
from idp.web.services import Services

log = structlog.get_logger(__name__)
_TOO_LATE = Check("database", State.FAILED, f"It did not answer within {BOUND_SECONDS:.0f} s.")
_DRAINING = Check("draining", State.FAILED, "This node is stopping: send nobody here any more.")


@dataclass(frozen=True)
class Report:
    """What all checks found."""

    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        """Whether this node may be sent requests."""
        return all(check.state is not State.FAILED for check in self.checks)


class Readiness:
    """The readiness of one process; safe for threads."""

    def __init__(
        self, services: Services, *, check: CheckNode = check_node, bound_seconds: float = BOUND_SECONDS
    ) -> None:
        self._services = services
        self._check = check
        self._bounded = Bounded(self._look, too_late=Report((_TOO_LATE,)), bound_seconds=bound_seconds)
        self._told = True
        self._telling = Lock()

    def ask(self) -> Report:
        """The report of now, or of less than a second ago."""
        # Draining is never cached: a load balancer has to see it at once.
        report = Report((_DRAINING,)) if is_draining() else self._bounded.ask()
        self._tell_change(report)
        return report

    def _look(self) -> Report:
        found: list[Check] = []
        try:
            found.extend(self._check(self._services))
        except Exception as error:
            log.warning("readiness_check_failed", problem=type(error).__name__, exc_info=error)
            # The kind only: drivers name hosts and users in their messages, and anybody may read this answer.
            failed = Check("database", State.FAILED, f"It can't be used ({type(error).__name__}). See the log.")
            found = [*(check for check in found if check.name != failed.name), failed]
        return Report(tuple(found))

    def _tell_change(self, report: Report) -> None:
        with self._telling:
            has_changed, self._told = self._told != report.is_ready, report.is_ready
        if has_changed:
            problems = [f"{check.name}: {check.message}" for check in report.checks if check.state is State.FAILED]
            log.warning("readiness_changed", ready=report.is_ready, problems=problems)
