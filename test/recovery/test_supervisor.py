"""Who has the arm: it is taken, handed back, and held at any doubt, with the reason said."""

from dataclasses import replace

import numpy as np
import pytest
from sights import ALARM, LIMITS, OPEN, POLICY_ACTION, QUIET, Follower, Scripted, sight, supervised

from salus_ros.core.errors import RecoveryError
from salus_ros.recovery.behaviours.hold import Requery
from salus_ros.recovery.behaviours.person import Person
from salus_ros.recovery.supervisor import HELD, POLICY, Rule, Supervisor
from salus_ros.recovery.triggers import AlarmTrigger, StepTrigger

AWAY = np.array([0, 0, 0.3, 0, 0, 0, 1], np.float32)


def assert_held(supervisor, commands, reason):
    """From its first held step on the arm stands still for good, the gripper as it was."""
    assert reason in supervisor.reason
    first = next(n for n, command in enumerate(commands) if command.actor == HELD)
    for command in commands[first:]:
        assert command.actor == HELD
        assert not command.action[:6].any()
        assert command.action[6] == 1.0
    assert all(one.end >= 0 for one in supervisor.interventions)


def test_without_an_alarm_the_policy_has_the_arm():
    commands = Follower(supervisor := supervised(Scripted())).go([QUIET] * 50)
    assert {command.actor for command in commands} == {POLICY}
    assert all(command.action is POLICY_ACTION for command in commands)
    assert not supervisor.interventions


def test_the_first_recovery_action_comes_at_the_alarms_own_step():
    behaviour = Scripted([AWAY, AWAY, None])
    arm = Follower(supervisor := supervised(behaviour))
    commands = arm.go([QUIET, ALARM, ALARM, ALARM, QUIET])
    assert [command.actor for command in commands] == [POLICY, "test", "test", POLICY, POLICY]
    assert [command.handed_back for command in commands] == [False, False, False, True, False]
    (one,) = supervisor.interventions
    assert (one.start, one.end, one.ended, one.kind) == (1, 3, "done", "timeout")
    assert behaviour.begun == [8]


def test_a_behaviour_that_is_done_at_once_hands_back_at_once():
    (command,) = Follower(supervised(Requery())).go([ALARM])
    assert command.handed_back


def test_there_are_two_interventions_an_episode_and_a_pause_between():
    arm = Follower(supervisor := supervised(Scripted([None])))
    arm.go([ALARM] * 100)
    assert [one.start for one in supervisor.interventions] == [0, LIMITS.cooldown_steps]
    assert supervisor.refusals == [
        "test: less than 30 steps after the last one",
        "test: 2 interventions are enough",
    ]
    assert supervisor.actor == POLICY


def test_none_starts_with_too_few_steps_left_nor_where_it_refuses():
    late = supervised(Scripted(least_steps=85))
    late.step(sight(steps_left=84), ALARM, POLICY_ACTION)
    assert late.refusals == ["test: it takes 85 steps, fewer are left"]
    late.step(sight(step=1, steps_left=85), ALARM, POLICY_ACTION)
    assert late.actor == "test"
    unwilling = supervised(Scripted(refuses="not here"))
    commands = Follower(unwilling).go([ALARM] * 3)
    assert unwilling.refusals == ["test: not here"]
    assert {command.actor for command in commands} == {POLICY}


def test_the_first_rule_that_may_takes_the_arm():
    first, second = Scripted(refuses="no"), Scripted()
    second.name = "second"
    rules = [Rule(one, AlarmTrigger(), "alarm") for one in (first, second)]
    supervisor = Supervisor(rules, LIMITS)
    assert supervisor.step(sight(), ALARM, POLICY_ACTION).actor == "second"


def test_it_is_slowed_to_its_share_of_the_command_in_its_direction():
    fast = np.array([1.0, -0.5, 0, 0, 0, 0.2, -1], np.float32)
    (command,) = Follower(supervised(Scripted([fast]))).go([ALARM])
    np.testing.assert_allclose(command.action, [0.6, -0.3, 0, 0, 0, 0.12, -1], rtol=1e-6)


def test_in_its_shadow_it_only_says_what_it_would_do():
    arm = Follower(supervisor := supervised(Scripted([AWAY]), shadow=True))
    commands = arm.go([ALARM] * 40)
    assert all(command.action is POLICY_ACTION for command in commands)
    assert [one.ended for one in supervisor.interventions] == ["shadow"] * 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RecoveryError("the cube is gone"), "test: the cube is gone"),
        (ZeroDivisionError("by zero"), "test: ZeroDivisionError: by zero"),
        (np.full(7, np.nan, np.float32), "7 finite numbers"),
        (np.array([0, np.inf, 0, 0, 0, 0, 1]), "7 finite numbers"),
        (np.zeros(6), "7 finite numbers"),
        ("up", "7 finite numbers"),
        ([0, [1, 2]], "7 finite numbers"),
        (object(), "7 finite numbers"),
        (np.array([0, 0, 1.01, 0, 0, 0, 1]), "allowed is -1 to 1"),
        (np.array([0, 0, 0, 0, 0, 0, 40.0]), "allowed is -1 to 1"),
    ],
)
def test_a_behaviour_that_fails_or_commands_nonsense_is_stopped(answer, reason):
    arm = Follower(supervisor := supervised(Scripted([AWAY, answer])))
    commands = arm.go([QUIET, *[ALARM] * 60])
    assert commands[1].actor == "test"
    assert_held(supervisor, commands, reason)
    assert commands[2].actor == HELD


def test_one_that_fails_where_it_begins_or_is_asked_never_moves():
    behaviour = Scripted()
    behaviour.begin = lambda *_: 1 / 0
    commands = Follower(supervisor := supervised(behaviour)).go([ALARM] * 3)
    assert_held(supervisor, commands, "ZeroDivisionError")
    behaviour = Scripted()
    behaviour.refusal = lambda *_: 1 / 0
    commands = Follower(supervisor := supervised(behaviour)).go([ALARM] * 3)
    assert supervisor.refusals == ["test: ZeroDivisionError: division by zero"]
    assert supervisor.actor == POLICY


def test_one_that_never_ends_is_ended():
    limits = replace(LIMITS, longest_steps=20)
    arm = Follower(supervisor := supervised(Scripted(), limits))
    commands = arm.go([ALARM] * 25)
    assert [command.actor for command in commands] == ["test"] * 20 + [HELD] * 5
    assert_held(supervisor, commands, "did not end within 20 steps")


def test_joints_that_stop_or_grow_old_stop_it():
    for given, reason in (
        ({"joints": np.full(7, 0.3)}, "have not changed for 6 steps"),
        ({"age_s": 0.2}, "0.20 s old"),
        ({"age_s": np.nan}, "nan s old"),
        ({"joints": np.array([0.0] * 6 + [np.nan])}, "not finite"),
    ):
        arm = Follower(supervisor := supervised(Scripted([AWAY] * 40)))
        arm.go([ALARM])
        assert_held(supervisor, arm.go([ALARM] * 10, **given), reason)


def test_joints_that_do_not_change_where_nothing_moves_are_no_doubt():
    arm = Follower(supervisor := supervised(Scripted()))
    arm.go([ALARM] * 20, joints=np.full(7, 0.3))
    assert supervisor.actor == "test"


def test_none_starts_blind():
    supervisor = supervised(Scripted())
    supervisor.step(sight(age_s=1.0), ALARM, POLICY_ACTION)
    assert supervisor.refusals == ["test: the joints are 1.00 s old"]


def test_a_tool_that_leaves_its_leash_stops_it_and_one_noisy_step_does_not():
    arm = Follower(supervisor := supervised(Scripted([AWAY] * 60)))
    arm.go([ALARM] * (LIMITS.turn_steps + 1))
    arm.go([ALARM], moved=np.array([0.05, 0, 0]))
    arm.go([ALARM] * 3)
    assert supervisor.actor == "test"
    commands = arm.go([ALARM] * 6, moved=np.array([0.03, 0, 0]))
    assert_held(supervisor, commands, "cm from where it was sent")


def test_a_tool_that_still_goes_where_the_policy_sent_it_has_not_left_its_leash():
    """An arm that lags: where the policy sent it is a leash ahead when a behaviour takes it."""
    down, up = (np.array([0, 0, way, 0, 0, 0, 1], np.float32) for way in (-1.0, 1.0))
    limits = replace(LIMITS, leash_m=0.04)
    supervisor = supervised(Scripted([up] * 60), limits)
    place = target = np.array([0.5, 0.0, 0.6])
    speed = np.zeros(3)
    for step in range(30):
        now = sight(step, place)
        action = supervisor.step(now, ALARM if step >= 10 else QUIET, down).action
        ahead = target + limits.step_m * action[:3] - place
        target = place + np.clip(ahead, -limits.leash_m, limits.leash_m)
        speed = 0.88 * speed + 0.06 * (target - place)
        place = place + speed
    assert supervisor.actor == "test", supervisor.reason
    assert speed[2] > 0


def test_a_tool_that_is_slower_than_it_is_sent_is_none():
    arm = Follower(supervisor := supervised(Scripted([AWAY] * 60)))
    arm.go([ALARM] * 40, moved=np.array([0, 0, 1e-4]))
    assert supervisor.actor == "test"


def test_what_is_held_in_the_air_is_let_go_only_by_one_that_may():
    opening = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    closed = -opening
    for releases, height, actor in (
        (False, 0.2, HELD),
        (True, 0.2, "test"),
        (False, 0.02, "test"),
    ):
        supervisor = supervised(Scripted([closed, opening], releases=releases))
        for step in range(2):
            now = sight(step, (0.5, 0, height), fingers=0.02, last=closed)
            command = supervisor.step(now, ALARM, POLICY_ACTION)
        assert command.actor == actor
        assert (command.action[6] > 0) == (actor != HELD)


def test_an_alarm_that_flickers_says_nothing_so_the_arm_is_held():
    arm = Follower(supervisor := supervised(Scripted(refuses="not here")))
    commands = arm.go([ALARM, QUIET, QUIET] * 4)
    assert_held(supervisor, commands, "the alarm comes and goes")
    assert supervisor.actor == HELD
    heedless = supervised(Scripted())
    heedless.rules = [Rule(Scripted(), StepTrigger(-1), "clock")]
    Follower(heedless).go([ALARM, QUIET, QUIET] * 4)
    assert heedless.actor == POLICY
    slow = Follower(supervisor := supervised(Scripted(refuses="not here")))
    slow.go([*[ALARM] * 10, *[QUIET] * 10] * 8)
    assert supervisor.actor == POLICY


def test_a_person_who_never_answers_leaves_the_arm_held():
    arm = Follower(supervisor := supervised(person := Person(timeout_s=0.5)))
    commands = arm.go([ALARM] * 20)
    assert [command.actor for command in commands] == ["person"] * 15 + [HELD] * 5
    assert all(not command.action[:6].any() for command in commands)
    assert supervisor.reason == "person: nobody answered within 0.5 s"
    assert not person.asking


def test_a_person_who_answers_moves_the_arm_and_hands_it_back():
    arm = Follower(supervisor := supervised(person := Person(timeout_s=0.5)))
    arm.go([ALARM])
    assert person.asking
    person.command(AWAY)
    (command,) = arm.go([ALARM])
    np.testing.assert_array_equal(command.action, AWAY)
    assert not person.asking
    person.hand_back()
    (command,) = arm.go([ALARM])
    assert command.handed_back
    assert supervisor.actor == POLICY


def test_a_held_gripper_stays_closed():
    closed = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
    supervisor = supervised(Scripted([RecoveryError("lost")]))
    command = supervisor.step(sight(fingers=OPEN / 2, last=closed), ALARM, POLICY_ACTION)
    assert command.actor == HELD
    assert command.action[6] == -1.0
