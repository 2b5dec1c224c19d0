"""The scenes of the tests of authorization are used as they are: a protected server, a client's world, an authority."""

import sys
from pathlib import Path

for _folder in ("auth", "authserver"):
    sys.path.append(str(Path(__file__).parents[2] / _folder))
