"""What happened when: spans of connections, calls, questions, rounds, tasks and streams, and how long calls took.

`spans` follows a capture while it is written; `latencies` counts. Both keep a bounded amount however long that is.
"""
