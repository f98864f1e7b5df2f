"""`zhenglian gov propose begin-shared-key | use-shared-key | destroy-shared-key`: operators decide on versions of their keys.

Rule: as in `proposals.py`. Shares are renewed without a vote: `zhenglian keys renew`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from contracts.calls import Action
from contracts.shared_key_actions import BeginSharedKey, DestroySharedKey, UseSharedKey
from contracts.shared_key_records import KeyPurpose

Purpose = Annotated[KeyPurpose, typer.Argument(help="directory or marks. 密钥用途。")]
Version = Annotated[int, typer.Argument(min=1, help="Which version. 版本。")]
Propose = Callable[[typer.Context, Action], None]


def add_to(app: typer.Typer, propose: Propose) -> None:
    """Hang these commands into `zhenglian gov propose`."""

    @app.command("begin-shared-key")
    def begin(ctx: typer.Context, purpose: Purpose, version: Version) -> None:
        """Make another version of a shared key, beside the one in use. 生成共管密钥的新版本。"""
        propose(ctx, BeginSharedKey(purpose=purpose, version=version))

    @app.command("use-shared-key")
    def use(ctx: typer.Context, purpose: Purpose, version: Version) -> None:
        """What is new uses this version from now on. 启用共管密钥的版本。"""
        propose(ctx, UseSharedKey(purpose=purpose, version=version))

    @app.command("destroy-shared-key")
    def destroy(ctx: typer.Context, purpose: Purpose, version: Version) -> None:
        """Forget a version out of use: every node destroys its share, for good. 销毁停用的版本。"""
        propose(ctx, DestroySharedKey(purpose=purpose, version=version))
