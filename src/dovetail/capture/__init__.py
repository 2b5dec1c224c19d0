"""Recorded conversations: what a line of one says, how it is written without secrets, and how it is read again.

A recording is called a capture. `lines` has its format, `redaction` what is left out, `tracking` what each message
belongs to, `writing` and `reading` the file. What is done with captures is above, in `recording/`; a client writes its
own (``Client(..., record="talk.jsonl")``).

Specification: none; docs/recording.md has the format.
"""
