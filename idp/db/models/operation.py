"""What processes tell each other by way of the database: that a worker lives."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from idp.db.models.base import Base


class WorkerHeartbeat(Base):
    """One running worker. Its row goes when it stops in good order, or a day after it was last seen."""

    __tablename__ = "worker_heartbeats"

    # The name under which it holds leases: host, process and a random part.
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime]
