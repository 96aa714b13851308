"""What the results of a self-test mean, in words for the developer of the application: what is right, what to change.

Pure. Serves Back-Channel Logout §2.8: 200 (or 204) when the session is ended, 400 when the request is wrong, and
`no-store`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from idp.logout.self_test_cases import CASES, Case
from idp.logout.self_test_run import NOT_SENT

GOOD, ATTENTION, BAD, SILENT = "good", "wait", "bad", "plain"
_SYMBOLS = {GOOD: "check", ATTENTION: "warning", BAD: "cross", SILENT: "minus"}
_STATES = {GOOD: "Right", ATTENTION: "Look at this", BAD: "Wrong", SILENT: "Not judged"}
_NO_ANSWER: dict[str, str] = {
    "blocked": "This service does not connect to that address: it is not public, or not https. The people who run it "
    "can allow it (IDP_OUTBOUND_ALLOW).",
    "unreachable": "Nobody answered in time. Does the name resolve from outside, is the port open, is the certificate "
    "valid with its whole chain, and does your route answer within 5 s? The people who run this service can see the "
    "exact cause.",
    NOT_SENT: "It could not be made: no address is registered, or there is no signing key.",
}
_NO_CODE = "There is nothing at the registered address. Compare it with your route, letter by letter."
_NO_ENTRY = (
    "Something before your code refuses: a sign-in, an API key, or a CSRF protection. Exempt this route; the token’s "
    "signature is the authentication."
)
_NO_FORM = "Your route reads no forms: expect application/x-www-form-urlencoded with the field logout_token."
_BUSY = "Your server says that it is busy. We would try again for 24 hours."
_REDIRECT = (
    "Redirects are never followed. Often one leads to a sign-in page, or from http to https: register where it ends."
)
_ANSWERS: dict[int, str] = {
    400: "Your code refuses a genuine notice. Let it say why, and let the inspector look at the token that it got. An "
    "unknown sid is no reason: answer 200.",
    401: _NO_ENTRY,
    403: _NO_ENTRY,
    404: _NO_CODE,
    405: "The address takes no POST.",
    408: _BUSY,
    410: _NO_CODE,
    415: _NO_FORM,
    422: _NO_FORM,
    429: _BUSY,
}


@dataclass(frozen=True)
class Verdict:
    """One case and what its answer means. `answered`: the status or why there is none."""

    title: str
    section: str
    wanted: str
    answered: str
    tone: str
    words: str

    @property
    def symbol(self) -> str:
        """The icon beside the state."""
        return _SYMBOLS[self.tone]

    @property
    def state(self) -> str:
        """The state in a word or two."""
        return _STATES[self.tone]


@dataclass(frozen=True)
class Summary:
    """All of it in one sentence, and the verdicts."""

    tone: str
    words: str
    verdicts: tuple[Verdict, ...]

    @property
    def symbol(self) -> str:
        """The icon beside the sentence."""
        return _SYMBOLS[self.tone]


def summarize(results: Sequence[dict[str, Any]]) -> Summary:
    """The verdicts on a finished test, as `idp.logout.self_test_run` gave them."""
    by_name = {result["case"]: result for result in results}
    genuine = by_name.get(CASES[0].name)
    is_accepted = genuine is not None and _is_success(genuine["status"])
    verdicts = tuple(
        _verdict(case, by_name[case.name], is_accepted=is_accepted) for case in CASES if case.name in by_name
    )
    count = {tone: sum(verdict.tone == tone for verdict in verdicts) for tone in _SYMBOLS}
    if not is_accepted:
        return Summary(BAD, "Your application did not accept a genuine notice. Mend this first.", verdicts)
    if count[BAD]:
        words = f"It accepts notices, also {_times(count[BAD], 'one', '{} of those')} that it has to refuse."
        return Summary(BAD, words, verdicts)
    if count[ATTENTION] or count[SILENT]:
        words = "It accepts a genuine notice and no wrong one. Some answers could be better."
        return Summary(ATTENTION, words, verdicts)
    return Summary(GOOD, "It accepts a genuine notice and refuses every wrong one, as it should.", verdicts)


def _times(count: int, one: str, many: str) -> str:
    return one if count == 1 else many.format(count)


def _verdict(case: Case, result: dict[str, Any], *, is_accepted: bool) -> Verdict:
    status, failure = result["status"], result["failure"]
    if case.is_genuine:
        tone, words = _judge_genuine(status, failure, no_store=bool(result["no_store"]))
    else:
        tone, words = _judge_wrong(case, status, failure, is_accepted=is_accepted)
    return Verdict(
        title=case.title,
        section=case.section,
        wanted="200 or 204" if case.is_genuine else "400",
        answered=str(status) if status is not None else "not sent" if failure == NOT_SENT else "no answer",
        tone=tone,
        words=words,
    )


def _judge_genuine(status: int | None, failure: str | None, *, no_store: bool) -> tuple[str, str]:
    if status in {200, 204}:
        if no_store:
            return GOOD, "It was accepted. No session has this sid, and that is no error: there is nothing left to end."
        return ATTENTION, "It was accepted. Add “Cache-Control: no-store” to the answer (§2.8)."
    if _is_success(status):
        return ATTENTION, "We take every 2xx as told; §2.8 asks for 200, and other providers may insist on it."
    return BAD, _why_not_accepted(status, failure)


def _why_not_accepted(status: int | None, failure: str | None) -> str:
    match status:
        case None:
            return _NO_ANSWER.get(failure or "", _NO_ANSWER["unreachable"])
        case code if 300 <= code <= 399:
            return _REDIRECT
        case code if code >= 500:
            return "Your code failed: look at its log. We would try again for 24 hours."
        case code:
            return _ANSWERS.get(code, "We would show that your application refused.")


def _judge_wrong(case: Case, status: int | None, failure: str | None, *, is_accepted: bool) -> tuple[str, str]:
    if _is_success(status):
        return BAD, f"It was accepted. {case.harm}"
    if not is_accepted:
        return SILENT, "A refusal says nothing as long as a genuine notice is refused too."
    match status:
        case 400:
            return GOOD, "It was refused."
        case None if failure == NOT_SENT:
            return SILENT, "The answers before this one took too long."
        case None:
            return ATTENTION, "It was not accepted, but nobody answered either. We would try again for 24 hours."
        case code if code >= 500 or code in {408, 429}:
            return ATTENTION, "It was not accepted, but the answer says “try again”, for 24 hours. Answer 400 (§2.8)."
        case _:
            return ATTENTION, "It was refused. §2.8 asks for 400."


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status <= 299
