"""The app of `served_app` in another framework, whose import takes longer than all others of such a process together.
Follows: no page of the specification.
"""

from fastapi import FastAPI
from served_app import app

fastapi = FastAPI()
fastapi.mount("/in", app.asgi(drain=0.5))
