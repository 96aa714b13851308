"""Many new rows in one statement, however many they are.

psycopg's executemany sends a statement per row, and its reading of one INSERT with thousands of parameters takes
quadratic time. So PostgreSQL gets them as one parameter in JSON. SQLite, to which nothing is sent, prepares the
statement once for all of them.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, Insert, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects.postgresql import JSON

from idp.db.engine import Tx


def insert_rows(tx: Tx, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert them; all name the same columns, whose values are kept as text, number or truth. No rows: nothing."""
    if not rows:
        return
    connection = tx.connection()
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), rows)
        return
    names = tuple(rows[0])
    writers = [(name, _writer(table, name, connection.dialect)) for name in names]
    packed = json.dumps([{name: write(row[name]) for name, write in writers} for row in rows])
    connection.execute(_from_json(table, names), {"packed": packed})


def _writer(table: Table, name: str, dialect: Dialect) -> Any:
    """What makes of a value of this column what is stored."""
    return table.c[name].type.dialect_impl(dialect).bind_processor(dialect) or (lambda value: value)


@lru_cache(maxsize=8)
def _from_json(table: Table, names: tuple[str, ...]) -> Insert:
    given = cast(bindparam("packed", type_=Text()), JSON(none_as_null=True))
    # The columns' own types, so that what does not fit is refused and not cut.
    columns = (column(name, table.c[name].type) for name in names)
    rows = func.json_to_recordset(given).table_valued(*columns, name="given").render_derived(with_types=True)
    return insert(table).from_select(names, select(*(rows.c[name] for name in names)))
