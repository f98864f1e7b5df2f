"""What a node says about itself: where peers reach it, and by which certificates they know it.

Rule: a node speaks for itself alone. Between an old certificate and its replacement both are listed, so that no connection
depends on who has heard of the new one first.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts import membership
from contracts.calls import NodesSetAddress, NodesSetCertificates
from contracts.methods import NODE, CallContext, method
from contracts.records import NodeRecord
from contracts.state import NODES, present


@method(NodesSetCertificates, callers=NODE, cost=25)
def set_certificates(context: CallContext, args: NodesSetCertificates) -> None:
    """Replace the certificates by which peers know the own node."""
    record = _own(context)
    membership.check_certificates(args.certificates)
    for certificate in args.certificates:
        membership.take_key(
            context.block.suite, context.state, record.account, membership.CERTIFICATE, certificate
        )
    NODES.put(context.state, record.account, replace(record, certificates=args.certificates))
    context.emit("nodes.certificates_set", record.account, (), certificates=len(args.certificates))


@method(NodesSetAddress, callers=NODE, cost=20)
def set_address(context: CallContext, args: NodesSetAddress) -> None:
    """Say where peers reach the own node from now on."""
    record = _own(context)
    membership.check_host(args.host)
    NODES.put(context.state, record.account, replace(record, host=args.host, port=args.port))
    context.emit("nodes.address_set", record.account, (), host=args.host, port=args.port)


def _own(context: CallContext) -> NodeRecord:
    record = membership.node(context.state, context.account.account_id)
    return present(record, "the node record of an active operator or reader")


METHODS: Final = (set_certificates, set_address)
