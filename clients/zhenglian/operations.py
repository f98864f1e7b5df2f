"""What a client can do, listed once for both of them.

Rule: an operation is a plan of `zhenglian.plans`, bound here to a name. Each is described where it is
written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from zhenglian import exchange, plans, streams
from zhenglian.exchange import Core, Plan
from zhenglian.streams import StreamPlan

if TYPE_CHECKING:
    from zhenglian.client import AsyncClient, Client

P = ParamSpec("P")
R = TypeVar("R")


class operation(Generic[P, R]):  # noqa: N801  # used like a decorator
    """A plan as a method: a plain call on `Client`, an awaitable one on `AsyncClient`."""

    def __init__(self, plan: Callable[Concatenate[Core, P], Plan[R]]) -> None:
        self._plan = plan
        self.__doc__ = plan.__doc__

    @overload
    def __get__(self, instance: Client, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: AsyncClient, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(
        self, instance: Client | AsyncClient, owner: type
    ) -> Callable[P, R] | Callable[P, Coroutine[Any, Any, R]]:
        def bound(*args: P.args, **kwargs: P.kwargs) -> R | Coroutine[Any, Any, R]:
            return instance.run(self._plan(instance.core, *args, **kwargs))

        return bound  # type: ignore[return-value]  # which of the two it is depends on the instance


class stream(Generic[P, R]):  # noqa: N801  # used like a decorator
    """A stream plan as a method: an iterator on `Client`, an asynchronous one on `AsyncClient`."""

    def __init__(self, plan: Callable[Concatenate[Core, P], StreamPlan[R]]) -> None:
        self._plan = plan
        self.__doc__ = plan.__doc__

    @overload
    def __get__(self, instance: Client, owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, instance: AsyncClient, owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(
        self, instance: Client | AsyncClient, owner: type
    ) -> Callable[P, Iterator[R]] | Callable[P, AsyncIterator[R]]:
        def bound(*args: P.args, **kwargs: P.kwargs) -> Iterator[R] | AsyncIterator[R]:
            return instance.iterate(self._plan(instance.core, *args, **kwargs))

        return bound  # type: ignore[return-value]  # which of the two it is depends on the instance


class Operations:
    """Everything that a client can do. Each is described at its plan."""

    status = operation(plans.chain.status)
    network = operation(exchange.network)
    trust = operation(plans.chain.trust)
    epochs = operation(plans.chain.epochs)
    login = operation(plans.chain.login)
    logout = operation(plans.chain.logout)
    blocks = operation(plans.chain.blocks)
    block = operation(plans.chain.block)
    account = operation(plans.chain.account)
    organizations = operation(plans.chain.organizations)
    certificate_types = operation(plans.chain.certificate_types)
    certificate_type = operation(plans.chain.certificate_type)
    purposes = operation(plans.chain.purposes)
    events = operation(plans.chain.events)
    receipt = operation(plans.chain.receipt)

    submit = operation(plans.transactions.submit)
    transaction = operation(plans.transactions.transaction)
    wait = operation(plans.transactions.wait)

    propose = operation(plans.governance.propose)
    approve_proposal = operation(plans.governance.approve_proposal)
    proposal = operation(plans.governance.proposal)
    proposals = operation(plans.governance.proposals)
    validators = operation(plans.governance.validators)
    nodes = operation(plans.governance.nodes)
    evidence = operation(plans.governance.evidence)
    protocol = operation(plans.governance.protocol)
    contracts = operation(plans.governance.contracts)
    add_organization_key = operation(plans.governance.add_organization_key)
    revoke_organization_key = operation(plans.governance.revoke_organization_key)

    lookup_person = operation(plans.people.lookup_person)
    enroll_person = operation(plans.people.enroll_person)
    add_person_key = operation(plans.people.add_person_key)
    revoke_person_key = operation(plans.people.revoke_person_key)

    issue_certificate = operation(plans.certificates.issue_certificate)
    certificate = operation(plans.certificates.certificate)
    certificates = operation(plans.certificates.certificates)
    set_certificate_state = operation(plans.certificates.set_certificate_state)

    request_grant = operation(plans.grants.request_grant)
    grant = operation(plans.grants.grant)
    grants = operation(plans.grants.grants)
    approve_grant = operation(plans.grants.approve_grant)
    reject_grant = operation(plans.grants.reject_grant)
    pause_grant = operation(plans.grants.pause_grant)
    resume_grant = operation(plans.grants.resume_grant)
    narrow_grant = operation(plans.grants.narrow_grant)
    revoke_grant = operation(plans.grants.revoke_grant)

    request_release = operation(plans.releases.request_release)
    release = operation(plans.releases.release)
    releases = operation(plans.releases.releases)
    download = operation(plans.releases.download)
    acknowledge = operation(plans.releases.acknowledge)
    retrieve = operation(plans.releases.retrieve)
    retrieve_again = operation(plans.releases.retrieve_again)

    certificate_proof = operation(plans.proofs.certificate_proof)
    grant_proof = operation(plans.proofs.grant_proof)
    release_proof = operation(plans.proofs.release_proof)
    state_proof = operation(plans.proofs.state_proof)

    trace = operation(plans.traces.trace)
    trace_view = operation(plans.traces.trace_view)

    regions = operation(plans.regions.regions)
    region = operation(plans.regions.region)
    region_trust = operation(plans.regions.region_trust)
    present_trust = operation(plans.regions.present_trust)
    follow_region = operation(plans.regions.follow_region)
    report_fork = operation(plans.regions.report_fork)
    certificate_home_proof = operation(plans.recognitions.certificate_home_proof)
    recognize = operation(plans.recognitions.recognize)
    refresh_recognition = operation(plans.recognitions.refresh_recognition)
    recognition = operation(plans.recognitions.recognition)
    recognitions = operation(plans.recognitions.recognitions)
    recognition_proof = operation(plans.recognitions.recognition_proof)
    check_disclosure = operation(plans.recognitions.check_disclosure)

    stream_blocks = stream(streams.blocks)
    stream_events = stream(streams.events)
