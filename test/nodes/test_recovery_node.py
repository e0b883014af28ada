"""The recovery node: who acts, what is said of it, and that the arm is held at any doubt."""

import math
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from manifold_episodes import KINDS, SMALL, make_runs
from recovery_lab import BEHAVIOUR, HELD, POLICY, POLICY_ACTION, STILL, TURN, Lab, Listed
from std_srvs.srv import Trigger
from synthetic_episodes import LOW_DIM, WITH_IMAGES

from salus_msgs.msg import EpisodeStatus, PolicyAction
from salus_ros.core.errors import ConfigError, RecoveryError
from salus_ros.core.failures import FailureType
from salus_ros.nodes.recovery import RecoveryNode
from salus_ros.recovery.arms import Arm, StuckRule, make_rules
from salus_ros.recovery.manifold.training import train_manifold
from salus_ros.recovery.plan import RecoveryPlan
from salus_ros.recovery.supervisor import Supervisor, episode_draws
from salus_ros.recovery.watch import NOTHING, Forecast
from salus_ros.worlds.physics import FIRST_ENV_ID, PHYSX_ENV_ID

ALARM = {"alarm": True, "risk": 0.9}


def reset(lab):
    answer = lab.graph.call(Trigger, "recovery/reset", Trigger.Request())
    assert answer.success
    return answer.message


def test_the_policys_actions_pass_as_they_are_until_an_alarm(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, TURN, TURN)
    for _ in range(3):
        action = lab.turn()
        assert (action.policy_id, action.intervention, action.header.frame_id) == (
            "tiny",
            "",
            "front",
        )
        np.testing.assert_array_equal(action.action, POLICY_ACTION)
    action = lab.turn(**ALARM)
    np.testing.assert_array_equal(action.action, TURN)
    assert action.intervention == "test@alarm collision"
    assert action.policy_id == "tiny"
    graph.until(lambda: lab.actor == BEHAVIOUR)
    status = lab.status[-1]
    assert (status.episode_id, status.step, status.behaviour) == ("e1", 3, "test")
    assert (status.trigger, status.kind) == ("alarm", FailureType.COLLISION)
    assert (status.interventions, status.shadow, status.reason) == (1, False, "")
    assert lab.says("test acts: alarm collision", DiagnosticStatus.WARN)


def test_while_it_acts_neither_policy_nor_predictor_is_needed_and_then_the_policy_plans_anew(
    graph, monkeypatch
):
    lab = Lab(graph, monkeypatch, TURN, TURN, TURN, None)
    lab.turn()
    lab.turn(**ALARM)
    for _ in range(2):  # nothing of the other two comes
        assert lab.turn().intervention == "test@alarm collision"
    lab.announce()
    graph.until(lambda: lab.status[-1].hand_backs == 1)
    status = lab.status[-1]
    assert (status.actor, status.step) == (POLICY, 4)
    assert status.seed == episode_draws(0, 3) + 1
    done = len(lab.actions)
    lab.answer(hand_backs=0)  # planned before
    lab.wait(0.2)
    assert len(lab.actions) == done
    lab.answer(hand_backs=1)
    graph.until(lambda: len(lab.actions) > done)
    assert (lab.actions[-1].step, lab.actions[-1].intervention) == (4, "")
    assert lab.turn().intervention == ""


def test_in_its_shadow_it_listens_and_says_what_it_would_have_done(graph, monkeypatch):
    plan = RecoveryPlan("test", np.tile(TURN, (2, 1)), 0.5, "it was here once", 0.25)
    lab = Lab(graph, monkeypatch, TURN, arm="shadow:test@alarm", plan=plan)
    assert graph.probe.count_publishers(f"{graph.namespace}/action") == 0
    lab.announce()
    lab.answer()
    lab.predict(**ALARM)
    graph.until(lambda: lab.status[-1].interventions == 1 and lab.plans)
    assert (lab.actor, lab.status[-1].behaviour, lab.status[-1].shadow) == (POLICY, "test", True)
    assert lab.says("shadow: test would have acted at step 0", DiagnosticStatus.WARN)
    (offered,) = lab.plans
    assert (offered.mechanism, offered.why, offered.step) == ("test", "it was here once", 0)
    assert (offered.confidence, offered.distance) == (0.5, 0.25)
    np.testing.assert_array_equal(
        np.reshape(offered.actions, (-1, offered.action_dim)), [TURN] * 2
    )
    assert not lab.behaviour.begun


def test_what_the_hand_holds_is_not_let_go_by_a_hold_that_outlasts_the_episode(graph, monkeypatch):
    closed = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
    lab = Lab(graph, monkeypatch, closed, ValueError("no"))
    lab.until_held("test: ValueError: no")
    lab.tell_episode(EpisodeStatus.PHASE_ENDED)
    lab.begin("e2")
    np.testing.assert_array_equal(lab.turn().action, closed)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RecoveryError("the cube is gone"), "test: the cube is gone"),
        (ZeroDivisionError("by zero"), "test: ZeroDivisionError: by zero"),
        (np.full(7, np.nan), "7 finite numbers"),
        (np.full(7, 1.5), "allowed is -1 to 1"),
    ],
)
def test_a_behaviour_that_fails_or_commands_nonsense_leaves_the_arm_held(
    graph, monkeypatch, answer, reason
):
    lab = Lab(graph, monkeypatch, TURN, answer)
    lab.until_held(reason)
    action = lab.turn()
    assert action.intervention == "held@alarm collision"
    np.testing.assert_array_equal(action.action, STILL)
    assert lab.says(f"the arm is held: {lab.status[-1].reason}; reset", DiagnosticStatus.ERROR)
    # It outlasts the episode, and a reset alone ends it.
    lab.tell_episode(EpisodeStatus.PHASE_ENDED)
    lab.begin("e2")
    assert lab.turn().intervention.startswith("held@")
    assert reason in reset(lab)
    assert reset(lab) == "nothing was held"
    graph.until(lambda: lab.actor == POLICY)
    assert lab.status[-1].hand_backs == 1
    assert lab.turn().intervention == ""


def test_a_world_that_begins_anew_ends_the_hold(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, ValueError("no"), hold_over_episodes=False)
    lab.until_held("test: ValueError: no")
    lab.tell_episode(EpisodeStatus.PHASE_ENDED)
    lab.begin("e2")
    assert lab.turn().intervention == ""
    assert lab.status[-1].reason == ""


def test_one_that_never_ends_is_ended(graph, monkeypatch):
    lab = Lab(graph, monkeypatch)
    limits = type(lab.node._limits)
    lab.node._limits = limits(0.02, 0.02, longest_steps=5)
    lab.until_held("it did not end within 5 steps", turns=10)


def test_joints_that_stop_while_it_acts_hold_the_arm(graph, monkeypatch):
    lab = Lab(graph, monkeypatch)
    lab.turn(**ALARM)
    lab.announce(joints=False)
    graph.until(lambda: lab.actor == HELD)
    assert "the joints are 0." in lab.status[-1].reason
    lab.begin("e2")
    lab.announce(joints=False)  # a held arm needs none
    graph.until(lambda: lab.actions[-1].episode_id == "e2")
    np.testing.assert_array_equal(lab.actions[-1].action, STILL)


def test_an_alarm_that_flickers_holds_the_arm(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, arm="test@alarm:timeout")  # it is of a collision: none acts
    for _ in range(3):
        lab.turn(**ALARM)
        assert lab.turn().intervention == ""
    assert lab.turn(**ALARM).intervention == "held@alarm"
    graph.until(lambda: lab.status[-1].reason == "the alarm comes and goes")


def test_a_risk_that_is_not_known_is_no_safe_one(graph, monkeypatch):
    lab = Lab(graph, monkeypatch)
    assert lab.turn(risk=math.nan).intervention == ""  # nothing is known yet
    assert lab.turn(alarm=True, risk=math.nan).intervention == "test@alarm"  # blind


def test_a_person_is_asked_acts_and_hands_back(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, arm="person@alarm", person_timeout_s=60.0)
    person = graph.talk(PolicyAction, "person_action")
    assert not graph.call(Trigger, "recovery/hand_back", Trigger.Request()).success
    action = lab.turn(**ALARM)
    np.testing.assert_array_equal(action.action, STILL)
    graph.until(lambda: lab.status[-1].asking)
    assert lab.says("a person is asked", DiagnosticStatus.WARN)
    person.publish(PolicyAction(action=[math.nan] * 7))
    graph.until(lambda: lab.node._problem.count == 1)
    person.publish(PolicyAction(action=TURN))
    graph.until(lambda: not lab.node._person.asking)
    action = lab.turn()
    np.testing.assert_array_equal(action.action, TURN)
    assert action.intervention == "person@alarm collision"
    assert graph.call(Trigger, "recovery/hand_back", Trigger.Request()).success
    assert lab.turn().intervention == ""
    assert lab.status[-1].hand_backs == 1


def test_a_person_who_never_answers_leaves_the_arm_held(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, arm="person@alarm", person_timeout_s=0.1)
    assert lab.until_held("person: nobody answered within 0.1 s", turns=10) == 4


def test_in_lockstep_a_step_waits_for_its_prediction_and_a_lost_action_is_repeated(
    graph, monkeypatch
):
    lab = Lab(graph, monkeypatch)
    lab.announce()
    lab.answer()
    graph.until(lambda: lab.steps.waiting == "failure_horizons")
    assert not lab.actions
    lab.predict()
    graph.until(lambda: lab.actions)
    lab.tell_episode()
    graph.until(lambda: len(lab.actions) == 2)
    assert lab.actions[0] == lab.actions[1]


def test_in_real_time_it_goes_on_without_a_late_prediction_and_is_held_without_any(
    graph, monkeypatch
):
    lab = Lab(graph, monkeypatch, TURN, mode="realtime", prediction_timeout_s=0.5)
    lab.turn()
    lab.announce()
    lab.answer()
    graph.until(lambda: len(lab.actions) == 2)
    assert lab.actions[-1].intervention == ""
    lab.wait(0.6)
    lab.announce()
    lab.answer()
    graph.until(lambda: lab.actor == HELD)
    assert "no prediction for" in lab.status[-1].reason
    assert lab.says("is a predictor with a model running?", DiagnosticStatus.ERROR)


def test_a_policy_that_is_late_in_real_time_acts_at_its_own_step(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, TURN, TURN, mode="realtime", prediction_wait_ms=1000.0)
    lab.announce()
    late = {"header": lab.head, "episode_id": "e1", "step": 0, "policy_id": "tiny"}
    lab.predict(**ALARM)
    lab.announce()
    graph.until(lambda: lab.steps._status.step == 1)
    lab.policy.publish(PolicyAction(**late, action=POLICY_ACTION))
    graph.until(lambda: len(lab.actions) == 2)
    assert [(one.step, one.intervention) for one in lab.actions] == [
        (0, "test@alarm collision"),
        (1, "test@alarm collision"),
    ]


def test_a_status_that_comes_late_begins_nothing_and_a_later_stamp_does(graph, monkeypatch):
    lab = Lab(graph, monkeypatch)
    lab.turn()
    steps, old = lab.steps, lab.head
    lab.step, lab.tick = 1, lab.tick + 1
    lab.tell_joints()
    lab.answer()
    lab.predict()
    graph.until(lambda: steps.decided == 1)  # before the status of its own step
    lab.episode.publish(EpisodeStatus(header=old, episode_id="e1", phase=1, max_steps=400))
    lab.tell_episode()
    graph.until(lambda: steps._status.step == 1)
    assert lab.steps is steps
    lab.begin("e1")
    lab.turn()
    assert lab.steps is not steps


def test_an_action_that_cannot_be_done_is_not_handed_on(graph, monkeypatch):
    lab = Lab(graph, monkeypatch)
    lab.announce()
    lab.predict()
    lab.answer(np.full(7, np.nan))
    graph.until(lambda: lab.node._problem.count == 1)
    lab.answer(np.zeros(6))
    graph.until(lambda: lab.node._problem.count == 2)
    assert not lab.actions
    lab.answer()
    graph.until(lambda: lab.actions)


def test_stuck_needs_no_prediction(graph, monkeypatch):
    lab = Lab(graph, monkeypatch, TURN, arm="test@stuck", stuck_steps=3)
    said = []
    for _ in range(4):
        lab.announce()
        lab.answer()
        graph.until(lambda: lab.actions and lab.actions[-1].step == lab.step)
        said.append(lab.actions[-1].intervention)
    assert said == ["", "", "", "test@stuck"]


def test_live_it_decides_what_it_decides_offline(graph, monkeypatch):
    """The same forecasts, an arm that stands still: the same actors, actions and hand-backs."""
    rng = np.random.default_rng(0)
    alarms = (rng.random(90) < 0.2).cumsum() // 2 % 2 == 1  # long enough not to flicker
    answers = [TURN, TURN, TURN, None]
    lab = Lab(graph, monkeypatch, *answers)
    behaviour = Listed(answers)
    rules = make_rules(Arm.parse("test@alarm"), {"test": behaviour}, StuckRule(), -1)
    offline = Supervisor(rules, lab.node._limits, episode_draws(0, 3))
    for alarm in alarms:
        action = lab.turn(bool(alarm), 0.9 if alarm else 0.1)
        sight = lab.steps.sight
        if offline.actor == "the policy":
            kind = FailureType.COLLISION
            command = offline.step(sight, Forecast(bool(alarm), 0.9, kind), POLICY_ACTION)
        else:
            command = offline.step(sight, NOTHING, None)
        expected = POLICY_ACTION if command.handed_back else command.action
        np.testing.assert_array_equal(action.action, expected)
        assert action.intervention == offline.acts
    live = lab.steps.supervisor
    assert live.interventions == offline.interventions
    assert len(live.interventions) == 2
    assert live.refusals == offline.refusals
    assert lab.behaviour.begun == behaviour.begun


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"arm": "scripted@oracle"}, "planned by a trial"),
        ({"arm": "wave@alarm"}, "there is no recovery behaviour 'wave'"),
        (
            {"arm": "policy@alarm", "env_id": FIRST_ENV_ID},
            "needs the folder of a second policy",
        ),
        ({"arm": "manifold@alarm"}, "needs a file of `salus manifold train`"),
        ({"arm": "hold@alarm", "env_id": "a/B-v0"}, "salus/PickPlace-v1"),
        ({"arm": "hold@alarm", "alpha": 0.2}, "alpha needs model_path"),
    ],
)
def test_what_cannot_work_is_one_clear_error(graph, parameters, said):
    with pytest.raises(ConfigError, match=said):
        graph.add(RecoveryNode, **parameters)


def test_a_manifold_is_followed_where_its_key_is_told_here(graph, tmp_path):
    for inputs, store in ((("state", "action"), LOW_DIM), (("state", "embedding"), WITH_IMAGES)):
        path = make_runs(tmp_path / f"{inputs[1]}.zarr", KINDS[14:26], store)
        file = tmp_path / f"{inputs[1]}.safetensors"
        train_manifold([path], file, replace(SMALL, inputs=inputs, batches=3))
        given = {"arm": "manifold@alarm", "manifold_path": str(file)}
        if inputs[1] == "action":
            assert "manifold" in graph.add(RecoveryNode, **given)._behaviours
            continue
        with pytest.raises(ConfigError, match="looks steps up by embedding too"):
            graph.add(RecoveryNode, **given)


def test_the_policy_that_ships_is_the_second_one(graph):
    node = graph.add(RecoveryNode, arm="policy@alarm", env_id=PHYSX_ENV_ID)
    assert node._behaviours["policy"]._runner.policy_id.startswith("tiny_smolvla_v1_recovery-")


def test_the_arm_is_known_whatever_engine_moves_it(graph):
    node = graph.add(RecoveryNode, arm="hold@alarm", env_id=PHYSX_ENV_ID)
    known = graph.add(RecoveryNode, arm="hold@alarm")
    assert node._limits == known._limits
    assert node._stuck == known._stuck
