"""All tables, one floor. Models hold columns and constraints, no rules.

Importing this package registers every table on `Base.metadata`.
"""

from idp.db.models.audit import AuditEvent
from idp.db.models.base import Base
from idp.db.models.clients import Client, ClientSecret, Consent, RefreshBinding, RefreshRotation
from idp.db.models.logout import DeliveryState, LogoutDelivery, LogoutEvent
from idp.db.models.mail import MailMessage, MailState
from idp.db.models.one_time import AuthorizationCode, StoredRequest, StoredRequestKind
from idp.db.models.operation import WorkerHeartbeat
from idp.db.models.policy import PolicyValue
from idp.db.models.self_test import SelfTestLink
from idp.db.models.sessions import EndReason, Session, SessionClient, SessionKind
from idp.db.models.signing_keys import SigningKey
from idp.db.models.tokens import DeniedAccessToken, GrantType, TokenFamily
from idp.db.models.users import GuessBudget, User

__all__ = [
    "AuditEvent",
    "AuthorizationCode",
    "Base",
    "Client",
    "ClientSecret",
    "Consent",
    "DeliveryState",
    "DeniedAccessToken",
    "EndReason",
    "GrantType",
    "GuessBudget",
    "LogoutDelivery",
    "LogoutEvent",
    "MailMessage",
    "MailState",
    "PolicyValue",
    "RefreshBinding",
    "RefreshRotation",
    "SelfTestLink",
    "Session",
    "SessionClient",
    "SessionKind",
    "SigningKey",
    "StoredRequest",
    "StoredRequestKind",
    "TokenFamily",
    "User",
    "WorkerHeartbeat",
]
