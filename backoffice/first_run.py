"""What ``make run`` needs before Django can start: secrets of this machine's own, and settings for the demo.

Nothing that is already there is touched. Run as ``python -m backoffice.first_run``.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

# Whoever sets one of these means a partner of his own, and gets no demo.
PARTNER_VARIABLES = (
    "CITYTRIPS_URL",
    "CITYTRIPS_CLIENT_ID",
    "CITYTRIPS_API_KEY",
    "CRUSOE_API_URL",
    "CRUSOE_API_KEY",
    "SANDBOX",
)

DEMO_ENV = """\
# Settings for the demo, made by `make run`. The two partners are simulated by this program itself; their keys are made
# up. To connect the real ones, see README.md and .env.example.
SANDBOX=true
CITYTRIPS_CLIENT_ID={client_id}
CITYTRIPS_API_KEY={citytrips_key}
CRUSOE_API_KEY={crusoe_key}
"""


def write_private(path: Path, text: str) -> bool:
    """Write a file that only its owner may read, unless it is there already; whether it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return True


def prepare(root: Path, var: Path) -> list[str]:
    """Make what is missing below ``root`` and ``var``; returns a line for each thing that was made."""
    made = []
    if write_private(var / "secret_key", secrets.token_urlsafe(64)):
        made.append(f"Made {var / 'secret_key'}")
    # A key of 32 bytes in URL-safe base64, as Fernet takes them.
    if write_private(var / "identity_keys", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() + "\n"):
        made.append(f"Made {var / 'identity_keys'}; keep a copy: identity images cannot be read without it")
    if not any(os.environ.get(name) for name in PARTNER_VARIABLES):
        demo = DEMO_ENV.format(
            client_id=secrets.token_hex(8), citytrips_key=secrets.token_hex(16), crusoe_key=secrets.token_hex(16)
        )
        if write_private(root / ".env", demo):
            made.append("Made .env for the demo: both partners are simulated")
    return made


if __name__ == "__main__":
    _root = Path(__file__).resolve().parent.parent
    for line in prepare(_root, Path(os.environ.get("VAR_DIR") or _root / "var")):
        sys.stdout.write(line + "\n")
