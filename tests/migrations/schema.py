"""Reads a schema back from the database itself, CHECK constraints, collations and storage options included.

Alembic's own comparison overlooks those; two schemas with the same description here behave the same.
"""

from sqlalchemy import Engine, text

_POSTGRESQL = """
SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || coalesce(' collate ' || co.collname, '')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT conrelid::regclass || ' constraint ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT relname || ' with ' || array_to_string(reloptions, ', ') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
"""


def describe_schema(engine: Engine) -> list[str]:
    """Everything the database knows of its tables, but for Alembic's own one, as sorted lines."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            lines = list(connection.execute(text(_POSTGRESQL)).scalars())
        else:
            statements = connection.execute(text("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
            lines = [f"{table}: {line}" for table, sql in statements for line in _clauses(sql)]
    return sorted(line for line in lines if "alembic_version" not in line)


def _clauses(sql: str) -> list[str]:
    """The parts of a statement, one column or constraint each. SQLite appends an added column to the last line."""
    text = " ".join(sql.replace('"', "").split())
    if not text.startswith("CREATE TABLE"):
        return [text]
    clauses, depth = [""], 0
    for character in text[text.index("(") + 1 : text.rindex(")")]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            clauses.append("")
        else:
            clauses[-1] += character
    return [clause.strip() for clause in clauses]
