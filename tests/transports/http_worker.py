"""A process that serves a bench with uvicorn; its arguments are JSON. Follows: no page of the specification."""

import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import uvicorn
from http_serving import Bench

from dovetail.transports.http1.server.runner import serve
from dovetail.transports.http_server.asgi import HTTPApp

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if "pretended" in given:  # another version of uvicorn
        uvicorn.__version__ = given.pop("pretended")
        logging.basicConfig(format="%(message)s")
    serve(HTTPApp(Bench().service, **given.pop("app", {})), **given)
