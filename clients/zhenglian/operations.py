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
    shared_keys = operation(plans.chain.shared_keys)
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

    directory = operation(plans.lookups.directory)
    find_person = operation(plans.lookups.find_person)
    find_organization = operation(plans.lookups.find_organization)
    own_account = operation(plans.lookups.own_account)
    open_lookup = operation(plans.lookups.open_lookup)
    approve_lookup = operation(plans.lookups.approve_lookup)
    await_approval = operation(plans.lookups.await_approval)
    finish_lookup = operation(plans.lookups.finish_lookup)
    lookup_ticket = operation(plans.lookups.lookup_ticket)
    identity_request = operation(plans.people.identity_request)
    assert_identity = operation(plans.people.assert_identity)
    enroll = operation(plans.people.enroll)
    recover = operation(plans.people.recover)
    confirm_recovery = operation(plans.people.confirm_recovery)
    veto_recovery = operation(plans.people.veto_recovery)
    recovery = operation(plans.people.recovery)
    retag = operation(plans.people.retag)
    move_tags = operation(plans.people.move_tags)
    set_reachable = operation(plans.people.set_reachable)
    add_person_key = operation(plans.people.add_person_key)
    revoke_person_key = operation(plans.people.revoke_person_key)

    issue_certificate = operation(plans.certificates.issue_certificate)
    certificate = operation(plans.certificates.certificate)
    certificates = operation(plans.certificates.certificates)
    request_erasure = operation(plans.certificates.request_erasure)
    decline_erasure = operation(plans.certificates.decline_erasure)
    erase_certificate = operation(plans.certificates.erase_certificate)
    set_certificate_state = operation(plans.certificates.set_certificate_state)

    request_grant = operation(plans.grants.request_grant)
    grant = operation(plans.grants.grant)
    grants = operation(plans.grants.grants)
    approve_grant = operation(plans.grants.approve_grant)
    window_consent = operation(plans.windows.window_consent)
    approve_at_window = operation(plans.windows.approve_at_window)
    reject_grant = operation(plans.grants.reject_grant)
    pause_grant = operation(plans.grants.pause_grant)
    resume_grant = operation(plans.grants.resume_grant)
    narrow_grant = operation(plans.grants.narrow_grant)
    revoke_grant = operation(plans.grants.revoke_grant)
    renew_grant = operation(plans.grants.renew_grant)
    preview_grant = operation(plans.grants.preview_grant)
    request_grant_as = operation(plans.grants.request_grant_as)
    deletions = operation(plans.grants.deletions)
    state_deletion = operation(plans.grants.state_deletion)

    grant_bodies = operation(plans.bodies.grant_bodies)
    keep_grant_body = operation(plans.bodies.keep_grant_body)
    open_grant_body = operation(plans.bodies.open_grant_body)
    erase_grant_body = operation(plans.bodies.erase_grant_body)

    request_access = operation(plans.accesses.request_access)
    decide_access = operation(plans.accesses.decide_access)
    end_access = operation(plans.accesses.end_access)
    extend_notice = operation(plans.accesses.extend_notice)
    review_access = operation(plans.accesses.review_access)

    appoint = operation(plans.mandates.appoint)
    accept_mandate = operation(plans.mandates.accept_mandate)
    end_mandate = operation(plans.mandates.end_mandate)
    assist = operation(plans.mandates.assist)
    mandate = operation(plans.mandates.mandate)
    mandates = operation(plans.mandates.mandates)

    request_release = operation(plans.releases.request_release)
    release = operation(plans.releases.release)
    releases = operation(plans.releases.releases)
    download = operation(plans.releases.download)
    acknowledge = operation(plans.releases.acknowledge)
    retrieve = operation(plans.releases.retrieve)
    retrieve_again = operation(plans.releases.retrieve_again)

    type_questions = operation(plans.questions.type_questions)
    question = operation(plans.questions.question)
    ask_questions = operation(plans.questions.ask_questions)
    answer = operation(plans.questions.answer)
    open_count = operation(plans.counts.open_count)
    contribute = operation(plans.counts.contribute)
    request_count = operation(plans.counts.request_count)
    cancel_count = operation(plans.counts.cancel_count)
    count = operation(plans.counts.count)
    counts = operation(plans.counts.counts)
    dictionary = operation(plans.forms.dictionary)
    forms = operation(plans.forms.forms)
    form = operation(plans.forms.form)
    register_form = operation(plans.forms.register_form)
    prefill = operation(plans.forms.prefill)

    deposit_file = operation(plans.bulk.deposit_file)
    deposit_rows = operation(plans.bulk.deposit_rows)
    deposit_job = operation(plans.bulk.deposit_job)
    deposit_jobs = operation(plans.bulk.deposit_jobs)
    deposit_report = operation(plans.bulk.deposit_report)
    cancel_deposit = operation(plans.bulk.cancel_deposit)
    new_resume = operation(plans.bulk.new_resume)
    fetch = operation(plans.fetches.fetch)
    create_agent = operation(plans.agents.create_agent)
    agents = operation(plans.agents.agents)
    revoke_agent = operation(plans.agents.revoke_agent)

    certificate_proof = operation(plans.proofs.certificate_proof)
    grant_proof = operation(plans.proofs.grant_proof)
    release_proof = operation(plans.proofs.release_proof)
    state_proof = operation(plans.proofs.state_proof)

    find_trace = operation(plans.traces.find_trace)
    trace = operation(plans.traces.trace)
    request_trace = operation(plans.traces.request_trace)
    trace_evidence = operation(plans.traces.trace_evidence)
    approve_trace = operation(plans.traces.approve_trace)
    wait_for_trace = operation(plans.traces.wait_for_trace)
    traces = operation(plans.traces.traces)
    trace_looks = operation(plans.traces.trace_looks)
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

    my_data = operation(plans.mydata.my_data)
    my_certificates = operation(plans.mydata.my_certificates)
    my_grants = operation(plans.mydata.my_grants)
    my_accesses = operation(plans.mydata.my_accesses)
    my_requests = operation(plans.mydata.my_requests)
    my_representations = operation(plans.mydata.my_representations)
    notices = operation(plans.mydata.notices)
    read_notices = operation(plans.mydata.read_notices)
    export_my_data = operation(plans.mydata.export_my_data)
    open_own = operation(plans.mydata.open_own)
    my_values = operation(plans.mydata.my_values)
    create_webhook = operation(plans.mydata.create_webhook)
    webhooks = operation(plans.mydata.webhooks)
    webhook = operation(plans.mydata.webhook)
    enable_webhook = operation(plans.mydata.enable_webhook)
    rotate_webhook_secret = operation(plans.mydata.rotate_webhook_secret)
    delete_webhook = operation(plans.mydata.delete_webhook)
    webhook_deliveries = operation(plans.mydata.webhook_deliveries)
    replay_webhook = operation(plans.mydata.replay_webhook)

    stream_blocks = stream(streams.blocks)
    stream_events = stream(streams.events)
    stream_notices = stream(streams.notices)
