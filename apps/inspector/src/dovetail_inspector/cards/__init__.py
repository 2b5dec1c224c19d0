"""Server cards: fetched, judged, and held against what the server says while it runs."""
