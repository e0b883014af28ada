"""What the monitor tells a program, and that nothing it hears ends it."""

import json

from salus_msgs.msg import FailureHorizons, VlaSignals
from salus_ros.nodes.monitor import MonitorNode

GOOD = {
    "horizons": [0.2, 0.5],
    "failure_types": [2, 1],
    "probability": [0.0, 0.1, 0.25, 0.5],
    "risk": 0.75,
    "alarm": True,
    "episode_failure": 0.875,
}


def test_a_prediction_is_told_and_one_that_is_none_refused(graph, capfd):
    node = graph.add(MonitorNode)
    signals = graph.talk(VlaSignals, "signals")
    horizons = graph.talk(FailureHorizons, "failure_horizons")
    told, refused = [], ""

    def heard(name):
        nonlocal refused
        out, err = capfd.readouterr()
        refused += err
        told.extend(
            one for one in map(json.loads, out.splitlines()) if one["kind"] == "prediction"
        )
        return name in refused if name else bool(told)

    for step, wrong, until in ((1, {"horizons": []}, "horizons are []"), (2, {}, "")):
        signals.publish(VlaSignals(episode_id="a", step=step))
        graph.until(lambda: ("a", step) in node._heard)  # noqa: B023
        horizons.publish(FailureHorizons(episode_id="a", step=step, **(GOOD | wrong)))
        graph.until(lambda: heard(until))  # noqa: B023
    (one,) = told
    assert one.pop("ms") >= 0
    assert one == {
        "kind": "prediction", "step": 2, "horizon_s": 0.5, "risk": 0.75, "alarm": True,
        "types": {"collision": 0.25, "drop": 0.5}, "episode_failure": 0.875,
    }  # fmt: skip
