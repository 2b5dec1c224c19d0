"""The app of `alone_app` as an endpoint that is made while a server loads it. Follows: no page of the specification."""

from alone_app import app

endpoint = app.asgi()
