"""What can go wrong, each with the exit status by which scripts can tell."""


class Problem(Exception):
    """Ends the command with its message. Exit status 1."""

    exit_status = 1


class SignInNeeded(Problem):
    """There is no sign-in any more, or none yet."""

    exit_status = 3


class SignedOutElsewhere(SignInNeeded):
    """The provider no longer takes our refresh token (RFC 6749 §5.2, `invalid_grant`)."""

    def __init__(self) -> None:
        super().__init__(
            "You were signed out of this tool (for example on the account page). Run `login` to sign in again."
        )


class Unreachable(Problem):
    """The provider gave no usable answer. The tokens are kept: nothing is known about them."""

    exit_status = 4
