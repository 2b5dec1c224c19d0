"""The same small server, written for each of the measured libraries."""
