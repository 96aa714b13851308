"""`idp worker`: delivers logout notices and writes down the ends that time brings. As many may run as one likes.

A front door: the process (`process`), what it delivers at the same time (`delivering`, `lanes`), its regular rounds
(`rounds`) and one step of each kind (`steps`). Decides nothing about notices, mail, ends or ages: the record rooms do
(design §7, §11).
"""

from idp.worker.process import Worker
from idp.worker.steps import (
    Hints,
    attempt,
    deliver_due,
    deliver_mail,
    new_holder,
    purge,
    run_self_tests,
    sweep_expired,
    tighten_hints,
)

__all__ = [
    "Hints",
    "Worker",
    "attempt",
    "deliver_due",
    "deliver_mail",
    "new_holder",
    "purge",
    "run_self_tests",
    "sweep_expired",
    "tighten_hints",
]
