"""Captures in the forms that other programs read: `jsonl`, `har` and `otlp`, each as pieces of bytes.

Every export is made line by line, so what it holds at once is bounded. All take the lines as they are: `jsonl.redacted`
leaves their secrets out first.
"""
