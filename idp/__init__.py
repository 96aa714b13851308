"""The identity provider whose logout works: an OpenID Provider and OAuth 2 authorization server."""
