"""Views of other networks, and of what is recognised of them."""

from __future__ import annotations

from contracts.recognitions import why_not_recognized
from contracts.region_records import Recognition, Region
from contracts.state import present
from node.http.views.common import Names, instant, instant_or_none
from node.services.ports import Records
from zhenglian import api, api_regions


def region(record: Region) -> api_regions.RegionView:
    """Another network as it is held."""
    trust = record.trust
    return api_regions.RegionView(
        chain_id=trust.chain_id.hex(),
        network=trust.network,
        suite=trust.suite,
        state=record.state.value,
        state_since=instant(record.state_since_ms),
        term=record.term,
        epoch=trust.validators.epoch,
        validators=[
            api.ValidatorView(account=one.account.hex(), name=one.name, vote_key=one.vote_key.hex())
            for one in trust.validators.validators
        ],
        types=list(record.types),
        proof_age_ms_max=record.proof_age_ms_max,
        recognition_life_ms=record.recognition_life_ms,
        voted=instant(record.voted_ms),
        followed=instant_or_none(record.followed_ms),
        forked_epoch=record.forked_epoch or None,
    )


def recognition(
    record: Recognition, records: Records, names: Names, now_ms: int
) -> api_regions.RecognitionView:
    """A recognition, judged at block time `now_ms`."""
    home = present(records.region(record.region), "the region of a recognition")
    reason = why_not_recognized(home, record, now_ms)
    return api_regions.RecognitionView(
        recognition_id=record.recognition_id.hex(),
        region=record.region.hex(),
        region_network=home.trust.network,
        suite=home.trust.suite,
        certificate_id=record.certificate_id.hex(),
        certificate_type=record.certificate_type,
        type_version=record.type_version,
        issuer=record.issuer.hex(),
        issuer_name=record.issuer_name,
        commitment_root=record.commitment_root.hex(),
        fields=list(record.fields),
        attachments=list(record.attachments),
        valid_from=instant(record.valid_from_ms),
        valid_until=instant_or_none(record.valid_until_ms),
        home_states=[state.value for state in record.home_states],
        state=record.state.value,
        state_since=instant(record.state_since_ms),
        home_epoch=record.epoch,
        home_height=record.home_height,
        home_time=instant(record.home_time_ms),
        proof_needed_from=instant(record.home_time_ms + home.recognition_life_ms),
        recognized_by=record.recognized_by.hex(),
        recognized_by_name=names.account(record.recognized_by),
        officer=record.officer.hex(),
        recognized=instant(record.recognized_ms),
        lawful_basis=record.lawful_basis,
        consent_hash=record.consent_hash.hex(),
        refreshed_by=record.refreshed_by.hex(),
        refreshed=instant(record.refreshed_ms),
        holds=not reason,
        reason=reason,
    )
