"""How arms are written."""

import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.recovery.arms import Arm, Choice, StuckRule, make_rules
from salus_ros.recovery.triggers import AlarmTrigger, StepTrigger, StuckTrigger


def test_an_arm_is_a_behaviour_at_a_trigger():
    assert Arm.parse("none").choices == ()
    assert Arm.parse("home").choices == (Choice("home", "alarm"),)
    assert Arm.parse("home@stuck").choices == (Choice("home", "stuck"),)
    both = Arm.parse("scripted@alarm:timeout+hold@alarm:drop/collision")
    assert both.choices == (
        Choice("scripted", "alarm", (FailureType.TIMEOUT,)),
        Choice("hold", "alarm", (FailureType.DROP, FailureType.COLLISION)),
    )
    assert [choice.cause for choice in both.choices] == ["alarm:timeout", "alarm:drop/collision"]
    assert Arm.parse("hold@random").planned == "random"


def test_a_shadow_is_of_the_scripted_one_or_of_what_is_written():
    assert Arm.parse("shadow") == Arm("shadow", (Choice("scripted", "alarm"),), shadow=True)
    assert Arm.parse("shadow:home@either").choices == (Choice("home", "either"),)


@pytest.mark.parametrize(
    "text",
    ["", "@alarm", "home@noon", "home@alarm:sleep", "home@stuck:drop", "home+"],
)
def test_what_is_no_arm_is_refused_with_what_is_one(text):
    with pytest.raises(ConfigError, match=r"is no arm|only an alarm has a kind"):
        Arm.parse(text)


def test_rules_follow_the_order_of_the_choices():
    behaviours = {"home": object(), "hold": object()}
    arm = Arm.parse("home@stuck+hold+home@clock")
    rules = make_rules(arm, behaviours, StuckRule(), 40)
    assert [rule.behaviour for rule in rules] == [behaviours[n] for n in ("home", "hold", "home")]
    kinds = [StuckTrigger, AlarmTrigger, StepTrigger]
    assert [type(rule.trigger) for rule in rules] == kinds


def test_a_stuck_rule_has_a_size_and_a_time():
    with pytest.raises(ConfigError, match="both must be above 0"):
        StuckRule(0.0, 30)
