"""What gunicorn is told in a module: two workers."""

workers = 2
