"""Where what an app offers can come from besides its own functions: other apps, and whatever else is a `Provider`."""
