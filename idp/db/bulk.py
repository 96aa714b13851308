"""Many new rows in one statement, however many they are.

psycopg's executemany sends a statement per row, and its reading of one INSERT with thousands of parameters takes
quadratic time. So PostgreSQL gets them as one parameter in JSON. SQLite, to which nothing is sent, prepares the
statement once for all of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, Insert, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects.postgresql import JSON

from idp.db.engine import Tx

_SAME = "same_"


def insert_rows(tx: Tx, table: Table, rows: Sequence[dict[str, Any]], *, same: Mapping[str, Any] | None = None) -> None:
    """Insert them; all name the same columns, whose values are kept as text, number or truth. No rows: nothing.

    `same`: the columns in which all rows have the same, which is sent once.
    """
    if not rows:
        return
    same = same or {}
    connection = tx.connection()
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), [{**same, **row} for row in rows])
        return
    names = tuple(rows[0])
    writers = [(name, write) for name in names if (write := _writer(table, name, connection.dialect)) is not None]
    packed = json.dumps([row | {name: write(row[name]) for name, write in writers} for row in rows])
    given = {"packed": packed} | {_SAME + name: value for name, value in same.items()}
    connection.execute(_from_json(table, names, tuple(same)), given)


def _writer(table: Table, name: str, dialect: Dialect) -> Callable[[Any], Any] | None:
    """What makes of a value of this column what is stored; None: it is stored as it is."""
    return table.c[name].type.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=8)
def _from_json(table: Table, names: tuple[str, ...], same: tuple[str, ...]) -> Insert:
    given = cast(bindparam("packed", type_=Text()), JSON(none_as_null=True))
    # The columns' own types, so that what does not fit is refused and not cut.
    columns = (column(name, table.c[name].type) for name in names)
    rows = func.json_to_recordset(given).table_valued(*columns, name="given").render_derived(with_types=True)
    shared = (bindparam(_SAME + name, type_=table.c[name].type) for name in same)
    return insert(table).from_select([*names, *same], select(*(rows.c[name] for name in names), *shared))
