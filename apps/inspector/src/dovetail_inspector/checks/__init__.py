"""Saved calls with what is expected of them: kept in a TOML file, run against real servers, reported for builds.

`reading` has the form of the file, `expecting` what a result is held against, `running` the run, `reporting` what is
said of it, `saving` a call of a capture as a check, `command` all of it as ``dovetail inspect --run checks.toml``.
"""
