"""Standing between any host and any server, and disturbing on purpose what passes.

Theory of operation. `faults` has the faults as values, `striking` says which of them strike a message, `pipe_faults`
and `http_faults` do what they say in the relays of `dovetail.recording`. `relaying` runs a relay, `live` tells other
processes of it and lets them steer its faults, `hosts` puts us into a host's configuration and out again, and `command`
is ``dovetail inspect --between``.

Specification: basic/transports.
"""
