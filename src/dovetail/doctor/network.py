"""What stands below HTTP: the name, each address, the encryption and its certificate.

Theory of operation. The name is resolved as a client does, and each address is tried by itself: a client that finds one
of two dead is slow for some of its users and nobody else. A certificate that is refused is fetched once more without
being checked, for nothing but to say in words what is wrong with it; nothing is sent over that connection.

Specification: RFC 8305; RFC 5280, RFC 9525; basic/authorization, "Communication Security".
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as tls
import time
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final, cast

from ..protocol.bindings.origins import is_local_name
from ..security.addresses import is_loopback
from ..security.fetching import Location
from .findings import Step

__all__ = ["check_addresses", "check_encryption", "check_name"]

_SOON: Final = 21
_MOST: Final = 8


async def check_name(location: Location, timeout: float) -> tuple[Step, list[str]]:
    """Resolve the host; gives its addresses. ``timeout``: seconds."""
    host = location.host
    with suppress(ValueError):
        ip_address(host)
        return Step(name="name", status="ok", what=f"{host} is an address, no name"), [host]
    began = time.perf_counter()
    asked = "localhost" if is_local_name(host) else host
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(
                asked, location.port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        advice = ("check which name servers this machine asks, and whether it is online",)
        what = f"nobody told an address of {host} within {timeout:g} s"
        return Step(name="name", status="failed", what=what, advice=advice, cause="timeout"), []
    except (OSError, UnicodeError) as problem:
        advice = (
            "check the spelling of the name",
            "if it is a name of a private network, connect to that network first",
        )
        what = f"{host} has no address: {getattr(problem, 'strerror', None) or problem}"
        return Step(name="name", status="failed", what=what, advice=advice, cause="unreachable"), []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    seconds = time.perf_counter() - began
    local = [each for each in addresses if is_loopback(ip_address(each.partition("%")[0]))]
    facts = {"addresses": addresses}
    if local and not is_local_name(host):
        advice = ("if that is not meant, look into the hosts file; else use the name localhost",)
        what = f"{host} is this machine: {', '.join(addresses)}"
        return Step(
            name="name", status="warning", what=what, advice=advice, facts=facts, seconds=seconds
        ), addresses
    what = f"{host} is at {', '.join(addresses[:_MOST])}"
    return Step(name="name", status="ok", what=what, facts=facts, seconds=seconds), addresses


async def check_addresses(addresses: list[str], port: int, timeout: float) -> tuple[Step, list[str]]:
    """Connect to each address; gives those that answer. ``timeout``: seconds for each, all at once."""
    began = time.perf_counter()
    tried = addresses[:_MOST]
    results = await asyncio.gather(*(_connect(each, port, timeout) for each in tried))
    reached = [each for each, problem in zip(tried, results, strict=True) if not problem]
    missed = {each: problem for each, problem in zip(tried, results, strict=True) if problem}
    facts = {"reached": reached, "missed": missed}
    seconds = time.perf_counter() - began
    told = "; ".join(f"{each}: {problem}" for each, problem in missed.items())
    if not reached:
        slow = all("no answer" in each for each in missed.values())
        advice = (
            ("a firewall drops what is sent there, or the machine is off: ask who runs it",)
            if slow
            else (
                f"start the server, or check that it listens at port {port} of that address",
                "a server in a container has to listen at 0.0.0.0 there, and its port has to be published",
            )
        )
        what = f"nothing answers at port {port}: {told}"
        cause = "timeout" if slow else "unreachable"
        return Step(
            name="connection", status="failed", what=what, advice=advice, facts=facts, cause=cause
        ), []
    if missed:
        advice = (
            "have the server listen at all its addresses, or take the dead ones out of the name service",
        )
        what = f"port {port} answers at {', '.join(reached)}, but not at {told}"
        return (
            Step(name="connection", status="warning", what=what, advice=advice, facts=facts, seconds=seconds),
            reached,
        )
    what = f"port {port} answers at {', '.join(reached)} after {seconds * 1000:.0f} ms"
    return Step(name="connection", status="ok", what=what, facts=facts, seconds=seconds), reached


async def _connect(address: str, port: int, timeout: float) -> str:
    """Why there is no connection; "" if there is one."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as problem:
        return os.strerror(problem.errno).lower() if problem.errno else type(problem).__name__
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""


async def check_encryption(location: Location, address: str, timeout: float) -> Step:
    """The encryption of a URL. ``timeout``: seconds for the handshake."""
    if location.scheme == "http":
        local = location.is_local_name or is_loopback(ip_address(address.partition("%")[0]))
        if local:
            return Step(name="encryption", status="ok", what="none, on this machine")
        advice = ("serve it over https: everybody between here and there can read, and change, what is sent",)
        return Step(
            name="encryption", status="warning", what="none, and it is another machine", advice=advice
        )
    began = time.perf_counter()
    context = tls.create_default_context()
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(
                address, location.port, ssl=context, server_hostname=location.host.rstrip(".")
            )
    except TimeoutError:
        advice = (
            "something listens there, and it does not speak TLS (perhaps plain http?), or is overloaded",
        )
        what = f"there was no end of the handshake within {timeout:g} s"
        return Step(name="encryption", status="failed", what=what, advice=advice, cause="timeout")
    except tls.SSLCertVerificationError as problem:
        return await _refused(location, address, problem, timeout)
    except (tls.SSLError, OSError) as problem:
        return _no_handshake(problem)
    session: Any = writer.get_extra_info("ssl_object")
    certificate = cast("dict[str, Any]", writer.get_extra_info("peercert") or {})
    version, cipher = str(session.version()), str((session.cipher() or ("",))[0])
    writer.close()
    with suppress(OSError, tls.SSLError):
        await writer.wait_closed()
    seconds = time.perf_counter() - began
    names = [
        str(value) for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")
    ]
    ends = datetime.fromtimestamp(tls.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends - datetime.now(UTC)).days
    facts = {"version": version, "cipher": cipher, "names": names, "days": days}
    what = f"{version}; the certificate is for {', '.join(names[:4])}, and good for {days} more days"
    if days < _SOON:
        advice = ("renew the certificate, and have that happen by itself",)
        return Step(
            name="encryption", status="warning", what=what, advice=advice, facts=facts, seconds=seconds
        )
    return Step(name="encryption", status="ok", what=what, facts=facts, seconds=seconds)


def _no_handshake(problem: OSError) -> Step:
    reason = str(getattr(problem, "reason", "") or problem.strerror or problem)
    plain = any(each in reason.upper() for each in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER"))
    advice = (
        ("it speaks plain http at this port: write http://, or give it a certificate",)
        if plain
        else (
            "the server and this machine have no version of TLS or no cipher in common, or it closed the connection",
            "serve TLS 1.2 or 1.3",
        )
    )
    what = f"there is no encrypted connection: {reason}"
    return Step(name="encryption", status="failed", what=what, advice=advice, cause="unreachable")


async def _refused(
    location: Location, address: str, problem: tls.SSLCertVerificationError, timeout: float
) -> Step:
    """What is wrong with a certificate, in words."""
    facts = {"reason": problem.verify_message, **await _certificate(location, address, timeout)}
    names = cast("list[str]", facts.get("names", []))
    code = problem.verify_code
    if code in (62, 64):  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        what = f"the certificate is not for {location.host}, but for {', '.join(names[:6]) or 'no name that it tells'}"
        advice = ("use a name that it is for, or have one issued for this name",)
    elif code == 10:
        what = f"the certificate has expired{_since(facts)}"
        advice = ("renew it, and have that happen by itself",)
    elif code == 9:
        what = "the certificate is not valid yet"
        advice = ("check the clock of this machine and that of the server",)
    elif code == 18:
        what = "the certificate is signed by itself, so nobody vouches for it"
        advice = (
            "have one issued by an authority",
            "for your own machines: add it to those that this machine trusts (the variable SSL_CERT_FILE names a file)",
        )
    elif code in (2, 19, 20, 21):
        what = (
            f"the certificate is from {facts.get('issuer') or 'somebody'}, whom this machine does not trust"
        )
        advice = (
            "have the server send the whole chain: its certificate and those between it and the root",
            "if the authority is your own, trust it here (the variable SSL_CERT_FILE names a file)",
        )
    else:
        what = f"the certificate is refused: {problem.verify_message}"
        advice = ("have another one issued",)
    return Step(
        name="encryption", status="failed", what=what, advice=advice, facts=facts, cause="unreachable"
    )


def _since(facts: dict[str, Any]) -> str:
    return f", on {facts['ends'][:10]}" if facts.get("ends") else ""


async def _certificate(location: Location, address: str, timeout: float) -> dict[str, Any]:
    """What a certificate says that was refused; nothing without the package that reads it."""
    try:
        from cryptography import x509
    except ImportError:
        return {}
    context = tls.create_default_context()
    context.check_hostname = False
    context.verify_mode = tls.CERT_NONE
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(
                address, location.port, ssl=context, server_hostname=location.host.rstrip(".")
            )
        session: Any = writer.get_extra_info("ssl_object")
        data = session.getpeercert(binary_form=True)
        writer.close()
        found = x509.load_der_x509_certificate(data)
    except (TimeoutError, OSError, ValueError, TypeError):
        return {}
    names: list[str] = []
    with suppress(x509.ExtensionNotFound, ValueError):
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(each.value) for each in extension]
    return {
        "names": names,
        "issuer": found.issuer.rfc4514_string()[:200],
        "ends": found.not_valid_after_utc.isoformat(),
    }
