"""What gunicorn is told in its configuration file: two workers."""

workers = 2
