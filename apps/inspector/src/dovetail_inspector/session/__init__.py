"""One server that is looked at: `server` connects to it, `calls` are what is asked of it, `questions` what it asks."""
