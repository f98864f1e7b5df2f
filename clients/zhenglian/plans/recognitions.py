"""Plans about certificates of other regions: have them recognised, keep them fresh, check what is shown of them.

Rule: proofs of the other network come as files, from wherever; no plan ever asks that network. What people
disclose is checked here, in the client, and sent nowhere.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts.region_calls import RecognitionsRecognize, RecognitionsRefresh
from ledger.crypto.registry import load_suite
from zhenglian import disclosures, exchange
from zhenglian.api import TransactionView
from zhenglian.api_regions import Disclosure, DisclosureCheckView, RecognitionView
from zhenglian.certificate_proofs import CertificateProof
from zhenglian.errors import Mismatch
from zhenglian.exchange import Core, Plan, Request, get
from zhenglian.plans import chain, transactions
from zhenglian.plans.chain import pages, query


def certificate_home_proof(core: Core, certificate_id: str, *, height: int | None = None) -> Plan[str]:
    """What this network proves of one of its certificates for other networks, after a block (the newest by default), as a
    file (`zhenglian.certificate_proofs`). For whoever may see the certificate."""
    path = f"/v1/certificates/{certificate_id}/home-proof" + query(height=height)
    answer = yield from exchange.exchange(core, Request(method="GET", path=path, session=True))
    return chain.text(answer)


def recognize(core: Core, proof: CertificateProof, *, lawful_basis: str, consent_hash: bytes) -> Plan[str]:
    """Have a certificate of another region recognised. Returns the recognition's id (hex).

    Args:
        core: the client; its key is an officer's.
        proof: what its home proves of it.
        lawful_basis: code of the ground on which it is looked at, e.g. "consent".
        consent_hash: hash of the holder's consent, which stays with the organisation.

    Raises:
        Denied: refused on the ledger.
    """
    args = RecognitionsRecognize(
        region=proof.evidence.final.header.chain_id,
        certificate_id=proof.certificate_id,
        evidence=proof.evidence,
        lawful_basis=lawful_basis,
        consent_hash=consent_hash,
    )
    view = yield from transactions.settled(core, args)
    return transactions.output(view).hex()


def refresh_recognition(core: Core, recognition_id: str, proof: CertificateProof) -> Plan[TransactionView]:
    """Bring a later proof of the same certificate: what its home says now, or that it is not there.

    Raises:
        Denied: refused on the ledger.
    """
    args = RecognitionsRefresh(
        recognition_id=bytes.fromhex(recognition_id), evidence=replace(proof.evidence, issuer=None)
    )
    return (yield from transactions.settled(core, args))


def recognition(core: Core, recognition_id: str) -> Plan[RecognitionView]:
    """One recognition, and whether it holds now."""
    return (yield from get(core, f"/v1/recognitions/{recognition_id}", RecognitionView, session=True))


def recognitions(core: Core, *, region: str = "", certificate: str = "") -> Plan[list[RecognitionView]]:
    """Recognitions that the own organisation asked for (all, for operators and auditors), newest first.

    With region and certificate: that one, whoever asked for it.
    """
    return (
        yield from pages(
            core,
            "/v1/recognitions",
            list[RecognitionView],
            session=True,
            query_text=query(region=region, certificate=certificate),
        )
    )


def recognition_proof(core: Core, recognition_id: str, *, height: int | None = None) -> Plan[str]:
    """The offline-verifiable proof of the recognition itself, on this network, as a file."""
    path = f"/v1/recognitions/{recognition_id}/proof" + query(height=height)
    answer = yield from exchange.exchange(core, Request(method="GET", path=path, session=True))
    return chain.text(answer)


def check_disclosure(core: Core, recognition_id: str, disclosure: Disclosure) -> Plan[DisclosureCheckView]:
    """Check what somebody shows of a certificate against its recognition, now. The data itself goes nowhere.

    Raises:
        DecodeError: it is about another certificate.
        Mismatch: the node answers for another recognition.
    """
    view = yield from recognition(core, recognition_id)
    if view.recognition_id != recognition_id:
        raise Mismatch(what="recognition", expected=recognition_id, actual=view.recognition_id)
    return disclosures.check(load_suite(view.suite), view, disclosure)
