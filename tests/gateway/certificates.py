"""A certificate for localhost, made by the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def certificate(folder: Path, host: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    cert, key = folder / f"{host}.pem", folder / f"{host}.key"
    subprocess.run(
        [
            *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(),
            *("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
