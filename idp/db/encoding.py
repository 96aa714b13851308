"""What characters a database can hold. Names, devices and claims come in every script: only UTF-8 holds them all."""

import psycopg
from sqlalchemy import Engine

COMPLETE = "UTF8"


def find_lacking_encoding(engine: Engine) -> str | None:
    """The name of the PostgreSQL database's encoding when it is not UTF-8; None when all is well (SQLite always is).

    In another one a name that it has no characters for is an error of the database, met when somebody has that name.
    """
    if engine.dialect.name != "postgresql":
        return None
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        # The server says it when a connection is made: nobody is asked.
        encoding = driver.info.parameter_status("server_encoding")
    return None if encoding == COMPLETE else encoding
