"""The declarative base: naming conventions that Alembic can rely on, and types for Python annotations."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Enum, LargeBinary, MetaData, Text
from sqlalchemy.orm import DeclarativeBase

from idp.db.types import Duration, UTCDateTime


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        bytes: LargeBinary,
        datetime: UTCDateTime,
        dict[str, Any]: JSON,
        int: BigInteger,
        list[str]: JSON,
        str: Text,
        timedelta: Duration,
    }


def closed_enum(states: type[StrEnum], name: str) -> Enum:
    """A text column with a CHECK that admits exactly the members' values. For sets that our own states close."""
    return Enum(
        states,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=64,
        values_callable=lambda members: [member.value for member in members],
    )
