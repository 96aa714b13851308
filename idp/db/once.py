"""Statements that are written once, as constants with parameters, and executed many times within a transaction.

Building an expression and passing it through the ORM costs several times what the driver and the wire do; a rule of ten
statements pays that ten times. So the rules of frequent entries keep theirs as constants beside the function
(`bindparam`), and execute them here. The hottest, which are a transaction of their own, go further (`idp.db.fixed`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlalchemy.orm import Session as Tx


def run(tx: Tx, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
    """Execute it in the transaction, past the ORM. `values`: its parameters, or a list of them for an INSERT of many.

    It gives columns and no entities: entities that the transaction has loaded are not told what an UPDATE changed.
    """
    tx.flush()  # what was changed on entities before comes before this, as with `tx.execute`
    return tx.connection().execute(statement, values)
