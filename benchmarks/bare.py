"""The yardstick: an empty Flask application with one JSON endpoint, for the same web server with the same options."""

from flask import Flask

app = Flask("bare")


@app.get("/bare")
def bare() -> dict[str, str]:
    """The least that a Flask endpoint can do."""
    return {"status": "ok"}
