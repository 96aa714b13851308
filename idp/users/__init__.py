"""People: who they are, what they sign in with, and how often one may guess.

Owns the rows of `users` and `guess_budgets`, the rules for names and e-mail addresses, password hashes (`passwords`),
guess budgets (`guesses`), the claims about a person (`claims`) and what becomes of an account (`lifecycle`). Refuses to
start or end sessions, and never hashes a password inside a transaction: callers hash first and hand the hash in.
"""

from idp.users.accounts import UserProblem, create_user, replace_password_hash
from idp.users.find import (
    find_by_login_name,
    find_by_sub,
    find_known_person,
    find_user,
    list_users,
    normalize_login_name,
    subject_for,
)
from idp.users.guesses import GuessVerdict, refund_guess, reserve_guess
from idp.users.lifecycle import delete_user, disable_user, enable_user, set_password
from idp.users.passwords import (
    PasswordChecks,
    PasswordChecksBusy,
    checks_for,
    find_password_problem,
    hash_password,
    needs_rehash,
    verify_password,
)

__all__ = [
    "GuessVerdict",
    "PasswordChecks",
    "PasswordChecksBusy",
    "UserProblem",
    "checks_for",
    "create_user",
    "delete_user",
    "disable_user",
    "enable_user",
    "find_by_login_name",
    "find_by_sub",
    "find_known_person",
    "find_password_problem",
    "find_user",
    "hash_password",
    "list_users",
    "needs_rehash",
    "normalize_login_name",
    "refund_guess",
    "replace_password_hash",
    "reserve_guess",
    "set_password",
    "subject_for",
    "verify_password",
]
