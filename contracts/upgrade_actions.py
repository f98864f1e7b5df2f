"""What operators can decide about the versions of contracts.

Rule: a structure, no behaviour; `upgrades.py` carries it out, and `governance.py` asks for the vote.
"""

from __future__ import annotations

from contracts.upgrade_records import ContractName
from ledger.types import Count, Wire


class UpgradeContract(Wire, tag="upgrade_contract"):
    """Calls of `contract` are carried out by `version`, the present one and one, from the block at `height` on.

    Version 1 of a contract that the network has not got brings it in.
    """

    contract: ContractName
    version: Count
    height: Count


class WithdrawContractUpgrade(Wire, tag="withdraw_contract_upgrade"):
    """The version that was set and whose height has not come does not take over."""

    contract: ContractName
    version: Count


UpgradeAction = UpgradeContract | WithdrawContractUpgrade
