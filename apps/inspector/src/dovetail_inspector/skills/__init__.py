"""Skills that a server publishes: listed, read, and held against what their entries promise; nothing of them is run."""
