"""`zhenglian gov propose`: where passkeys are used, which portal bundles may be served, who may vouch for a face.

Rule: one command an action; what is put to the vote is computed here from what the operator holds in hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from contracts.calls import Action
from contracts.portal_actions import ApprovePortal, SetIdentityServices, SetWebAuthn
from ledger.types import WebAuthn
from node.commands.context import hex_id, read_file

BUNDLE_SIZE_BYTES_MAX = 256 * 1024 * 1024


def add_to(app: typer.Typer, propose: Callable[[typer.Context, Action], None]) -> None:
    """Add the commands to `gov propose`."""

    @app.command("passkey-origins")
    def passkey_origins(
        ctx: typer.Context,
        rp_id: Annotated[
            str, typer.Argument(help="Domain of all portals; stays for ever. 通行密钥域名，不可再改。")
        ],
        origins: Annotated[list[str], typer.Argument(help="https://portal.example.cn … 门户来源。")],
    ) -> None:
        """Where passkeys are used from now on. 设置可使用通行密钥的门户来源。"""
        propose(ctx, SetWebAuthn(webauthn=WebAuthn(rp_id=rp_id, origins=tuple(origins))))

    @app.command("approve-portal")
    def approve_portal(
        ctx: typer.Context,
        name: Annotated[str, typer.Argument(help="Which portal, e.g. citizen. 门户代码。")],
        bundle: Annotated[
            Path, typer.Argument(help="The bundle that was examined; its SHA-256 is voted on. 门户包文件。")
        ],
    ) -> None:
        """A bundle of a web application that may be served. 批准门户版本。"""
        data = read_file(bundle, "portal bundle", size_bytes_max=BUNDLE_SIZE_BYTES_MAX)
        propose(ctx, ApprovePortal(name=name, bundle_hash=hashlib.sha256(data).digest()))

    @app.command("identity-services")
    def identity_services(
        ctx: typer.Context,
        services: Annotated[list[str], typer.Argument(help="Accounts of organisations, hex. 机构账户。")],
    ) -> None:
        """Whose officers may sign face assertions; replaces the list. 设置人脸核验服务机构。"""
        accounts = tuple(bytes.fromhex(hex_id(service, "account")) for service in services)
        propose(ctx, SetIdentityServices(services=accounts))
