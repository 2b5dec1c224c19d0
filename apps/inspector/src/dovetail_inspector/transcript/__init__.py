"""What was said, as data: `reading` makes a `RecordView` of each line of a capture, `transcript` is an index over a
capture file, `searching` the words by which one looks for something in it.
"""
