"""What the demo says of an alarm."""

import math

from salus_ros.cli.node_processes import alarm_line

SAID = {
    "alarm": True, "step": 41, "risk": 0.307, "episode_failure": 0.92, "horizon_s": 0.5,
    "types": {"drop": 0.001, "collision": 0.3, "timeout": 0.006},
}  # fmt: skip


def test_an_alarm_is_told_with_its_kinds_the_likeliest_first():
    assert alarm_line(SAID) == (
        "ALARM at step 41: a failure within 0.5 s 31% (collision 30%, timeout 1%), at all 92%"
    )
    ended = SAID | {"alarm": False, "types": {"drop": 0.0}, "episode_failure": math.nan}
    assert alarm_line(ended) == "the alarm ends at step 41: a failure within 0.5 s 31%"


def test_a_step_that_cannot_be_judged_is_no_probability():
    blind = SAID | {"risk": math.nan, "episode_failure": math.nan}
    assert alarm_line(blind) == "ALARM at step 41: the step cannot be judged"
