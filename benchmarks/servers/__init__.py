"""The measured servers: ours, and the floors. They all take the same words, see `benchmarks.contestants`."""
