"""The measured clients: ours, and the floor. They take how, where, seconds to warm up, seconds to measure; they
print one line of JSON: count, seconds, cpu. With ``ways`` for how, where is a list of targets and tools, as JSON, and
they do what they are told on standard input: see `benchmarks.clients.ways`.
"""
