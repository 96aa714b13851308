"""The sign-in desk: /login. Proves who somebody is, and starts the browser session.

Password for now; `next_step` is the one place where other ways to sign in join. It never decides what an application
gets: that is the OAuth desk's business, to which the person is sent on.
"""

from idp.login.routes import blueprint

__all__ = ["blueprint"]
