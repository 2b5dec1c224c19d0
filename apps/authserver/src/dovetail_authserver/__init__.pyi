from .assertions import TrustedIssuer as TrustedIssuer
from .clients import RegisteredClient as RegisteredClient
from .login import LoginRequest as LoginRequest
from .login import Page as Page
from .login import User as User
from .login import form_login as form_login
from .login import pick_user as pick_user
from .login import single_user as single_user
from .server import AuthServer as AuthServer
from .settings import Bounds as Bounds
from .settings import Lifetimes as Lifetimes

__all__ = [
    "AuthServer",
    "Bounds",
    "Lifetimes",
    "LoginRequest",
    "Page",
    "RegisteredClient",
    "TrustedIssuer",
    "User",
    "form_login",
    "pick_user",
    "single_user",
]
