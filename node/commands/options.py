"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.crypto.registry import SUITES

SuiteOption = Annotated[str, typer.Option(help=f"Crypto suite: {' or '.join(SUITES)}. 密码套件。")]
UnencryptedOption = Annotated[
    bool,
    typer.Option("--unencrypted", help="Leave the keys readable, on purpose. 明文保存密钥（须明确指定）。"),
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token-label", help="Keep keys in the PKCS#11 token of this label. 使用此标签的密码设备。"
    ),
]
NewPassphraseOption = Annotated[
    Path | None,
    typer.Option("--new-passphrase-file", help="Holds the new passphrase; else it is asked. 新口令文件。"),
]
HomeFolder = Annotated[
    Path, typer.Option("--home", envvar="ZHENGLIAN_HOME", help="The node's folder. 节点目录。")
]
