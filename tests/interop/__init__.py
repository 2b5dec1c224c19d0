"""Talking to the other implementations: each as a server for our client and as a client for our server.

`make interop` runs it. `steps.py` says what is tried, `expected.toml` what must come of it, cell by cell.
`test_login_*.py` have them log in: clients of theirs to our servers, and ours to theirs.
"""
