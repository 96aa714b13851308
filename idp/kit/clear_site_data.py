"""What a browser may be told to delete at sign-out (W3C Clear Site Data §3.1), and what it never may.

`"cookies"` reaches every host under the same registrable domain: it would sign people out of what is not ours. Our own
cookies are taken away one by one.
"""

CLEARABLE = frozenset({"cache", "storage", "executionContexts", "prefetchCache", "prerenderCache"})


def refuse_too_much(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds themselves. Raises `ValueError` with the remedy for a kind that reaches too far or is none."""
    if {"cookies", "*"} & set(kinds):
        raise ValueError("cookies and * would delete those of every host under the same domain: leave them out")
    if unknown := set(kinds) - CLEARABLE:
        raise ValueError(f"{min(unknown)!r} is unknown: use some of {', '.join(sorted(CLEARABLE))}")
    return kinds


def header_value(kinds: tuple[str, ...]) -> str:
    """The value of the header `Clear-Site-Data`: quoted, in the order given."""
    return ", ".join(f'"{kind}"' for kind in kinds)
