"""Who asks: the same user (proven by the kernel), the holder of the token, somebody else, or nobody knows.

A TCP connection on loopback has an owner at its other end, whom the kernel names; the unix socket names its peer. So
`curl` from a shell script needs nothing more. Elsewhere there is the token in `.cmux/run/token`.
"""

from __future__ import annotations

import hmac
import os
import secrets
from typing import Any, Literal

from daemons import files
from daemons.settings import Settings

Caller = Literal["ours", "other", "unknown"]


def token(conf: Settings) -> str:
    """This home's token, made at the first start. StorageError when it can be neither read nor made."""
    path = conf.run_dir / "token"
    known = (files.read(path, limit_bytes=4096) or b"").decode("ascii", "replace").strip()
    if len(known) < 32:
        known = secrets.token_urlsafe(32)
        files.replace(path, known.encode() + b"\n")
    return known


def caller(environ: dict[str, Any], known_token: str) -> Caller:
    """Who made this request."""
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), known_token.encode()):
        return "ours"
    uid = environ["cmux.channel"].peer_uid()
    if uid is None:
        return "unknown"
    # root may do everything anyway; that a vanished client is no root is seen to where the uid is looked up.
    return "ours" if uid in (os.geteuid(), 0) else "other"
