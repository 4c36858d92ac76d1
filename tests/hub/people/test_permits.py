"""What each role may do, written down once more by hand; and the laws that no table may break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import RefusedError
from medfl.hub.people.permits import HERE, NOBODY, RULES, Action, Actor, How, Role, Thing, require, verdict

A, C, R, D, U = Role.ADMIN, Role.COORDINATOR, Role.RESEARCHER, Role.DATA_OWNER, Role.AUDITOR
FOREIGN = {
    Action.SEE_STUDY: {C, U},
    Action.STEER_STUDY: {C},
    Action.SHARE_STUDY: {C},
    Action.APPROVE_STUDY: set[Role](),
    Action.SEE_DRAFT: {U},
    Action.CHANGE_DRAFT: set[Role](),
    Action.SHARE_DRAFT: set[Role](),
}
"""Who may do it to what is neither theirs, nor shared with them, nor about their sites."""
ANY = {
    Action.SEE_ACCOUNT: {A, C, R, D, U},
    Action.CHANGE_ACCOUNT: {A, C, R, D, U},
    Action.SEE_HOME: {A, C, R, D, U},
    Action.LAUNCH_STUDY: {C, R},
    Action.BEGIN_DRAFT: {C, R},
    Action.SEE_QUEUE: {C, R, U},
    Action.CHANGE_QUEUE: {C},
    Action.SEE_SITES: {A, C, R, D, U},
    Action.CHANGE_SITES: {A, C},
    Action.SEE_SETTINGS: {A, C, U},
    Action.CHANGE_SETTINGS: {A},
    Action.SEE_PEOPLE: {A, C, U},
    Action.CHANGE_PEOPLE: {A},
    Action.SEE_AUDIT: {A, U},
}
OWN = {
    Action.SEE_STUDY: {C, U, R},
    Action.STEER_STUDY: {C, R},
    Action.SHARE_STUDY: {C, R},
    Action.SEE_DRAFT: {C, U, R},
    Action.CHANGE_DRAFT: {C, R},
    Action.SHARE_DRAFT: {C, R},
}
SHARED = OWN | {Action.SHARE_STUDY: {C}, Action.SHARE_DRAFT: set()}
CHANGES = {action for action in Action if not action.value.startswith("see")} - {Action.SIGN_IN, Action.CHANGE_ACCOUNT}


def actor(*roles: Role, name: str = "ada", how: How = How.SESSION, scope: frozenset[Action] | None = None) -> Actor:
    allowed = frozenset(Action) if scope is None else scope
    return Actor(name=name, title="Ada", roles=frozenset(roles), sites=frozenset({"charite"}), how=how, scope=allowed)


def thing(action: Action, owner: str = "zelda", shared: str = "", site: str = "mayo") -> Thing | None:
    about = RULES[action].about
    if not about:
        return None
    name = site if about == "site" else "x"
    return Thing(kind=about, name=name, owner=owner, shared=frozenset({shared} - {""}), sites=frozenset({site}))


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.SIGN_IN])
@pytest.mark.parametrize("role", Role)
def test_each_role_reaches_what_the_table_says(role: Role, action: Action) -> None:
    one = actor(role)
    assert bool(verdict(one, action, thing(action))) == (role in (FOREIGN | ANY)[action])
    if action in OWN:
        assert bool(verdict(one, action, thing(action, owner="ada"))) == (role in OWN[action])
        assert bool(verdict(one, action, thing(action, shared="ada"))) == (role in SHARED[action])


def test_a_data_owner_sees_and_decides_for_their_sites_only() -> None:
    one = actor(D)
    for action in (Action.SEE_STUDY, Action.APPROVE_STUDY):
        assert verdict(one, action, thing(action, site="charite"))
        assert not verdict(one, action, thing(action, site="mayo"))
        assert not verdict(actor(C), Action.APPROVE_STUDY, thing(Action.APPROVE_STUDY, site="charite"))
    assert not verdict(one, Action.STEER_STUDY, thing(Action.STEER_STUDY, site="charite"))


def test_every_refusal_has_a_reason_and_a_remedy() -> None:
    for action in Action:
        for role in Role:
            found = verdict(actor(role), action, thing(action))
            assert found.reason
            if found:
                continue
            with pytest.raises(RefusedError) as told:
                require(actor(role), action, thing(action))
            (complaint,) = told.value.complaints
            assert complaint.what == found.reason
            assert complaint.remedy
            assert "zelda" not in str(told.value)


def test_the_reasons_can_be_read() -> None:
    assert verdict(actor(U), Action.LAUNCH_STUDY).reason == (
        "an auditor reads everything and changes nothing, and so may not launch a study"
    )
    assert verdict(actor(R), Action.SEE_STUDY, thing(Action.SEE_STUDY)).reason == (
        "only a coordinator, an auditor, a researcher (what is their own or shared with them) or a data owner (the "
        "sites that they speak for) may see a study"
    )
    assert verdict(NOBODY, Action.SEE_HOME).reason == "nobody is signed in"
    assert verdict(actor(), Action.SEE_HOME).reason == "this account has no role yet"


def test_the_person_on_this_machine_may_do_everything() -> None:
    assert all(verdict(HERE, action, thing(action)) for action in Action)


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.SIGN_IN])
def test_nobody_may_do_nothing(action: Action) -> None:
    assert not verdict(NOBODY, action, thing(action, owner=""))
    assert not verdict(actor(*Role, name=""), action, thing(action, owner="")) or action in (ANY | FOREIGN)


ROLES = st.frozensets(st.sampled_from(Role))
ACTIONS = st.sampled_from([action for action in Action if action is not Action.SIGN_IN])
THINGS = st.tuples(st.sampled_from(["ada", "eve", ""]), st.sampled_from(["ada", ""]), st.sampled_from(["charite", ""]))


@given(roles=ROLES, more=ROLES, action=ACTIONS, about=THINGS)
def test_a_further_role_takes_nothing_away(
    roles: frozenset[Role], more: frozenset[Role], action: Action, about: tuple[str, str, str]
) -> None:
    if verdict(actor(*roles), action, thing(action, *about)):
        assert verdict(actor(*roles, *more), action, thing(action, *about))


@given(roles=ROLES, scope=st.frozensets(st.sampled_from(Action)), action=ACTIONS, about=THINGS)
def test_a_token_does_no_more_than_its_account_and_its_scope(
    roles: frozenset[Role], scope: frozenset[Action], action: Action, about: tuple[str, str, str]
) -> None:
    if verdict(actor(*roles, how=How.TOKEN, scope=scope), action, thing(action, *about)):
        assert action in scope
        assert verdict(actor(*roles), action, thing(action, *about))
        assert RULES[action].by_token


@given(action=ACTIONS, about=THINGS)
def test_an_auditor_changes_nothing_and_an_admin_sees_no_study(action: Action, about: tuple[str, str, str]) -> None:
    if action in CHANGES:
        assert not verdict(actor(U), action, thing(action, *about))
    if RULES[action].about in ("study", "draft"):
        assert not verdict(actor(A), action, thing(action, *about))


@given(roles=ROLES, action=ACTIONS)
def test_what_is_done_to_something_is_refused_where_nothing_is_named(roles: frozenset[Role], action: Action) -> None:
    if RULES[action].about:
        assert not verdict(actor(*roles), action)
        other = Thing(kind="site" if RULES[action].about != "site" else "study", name="x", owner="ada")
        assert not verdict(actor(*roles), action, other)
