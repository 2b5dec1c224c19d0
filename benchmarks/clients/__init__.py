"""The measured clients: ours, and the floor. They take how, where, seconds to warm up, seconds to measure; they
print one line of JSON: count, seconds, cpu.
"""
