"""`make bench`: what the provider's operations cost, measured on this machine, written to docs/benchmarks.md.

Starts everything it needs by itself: a PostgreSQL with its default, durable settings, the provider under each web
server, and beside it an empty Flask endpoint under the same server. README.md in this folder says how to read it.
"""
