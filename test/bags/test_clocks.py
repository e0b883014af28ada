from salus_ros.bags.clocks import HeaderClocks

HOUR_NS, PERIOD_NS = 3_600_000_000_000, 40_000_000
NOW_NS = 1_700_000_000_000_000_000


def clocks(**first_ns):
    """Fifty messages of each topic, received from now on, their stamps from a time on."""
    made = HeaderClocks()
    for step in range(50):
        for topic, start_ns in first_ns.items():
            stamp_ns = 0 if start_ns is None else start_ns + step * PERIOD_NS
            made.add(topic, NOW_NS + step * PERIOD_NS, stamp_ns)
    return made.problems()


def test_stamps_near_the_time_of_receiving_are_right():
    assert clocks(cam=NOW_NS, joints=NOW_NS - HOUR_NS // 2) == []


def test_stamps_that_are_not_set_are_named_with_the_remedy():
    (problem,) = clocks(cam=None, joints=NOW_NS)
    assert problem.startswith("topic cam: 50 of its 50 header stamps are 0")
    assert "use time: receive in the mapping" in problem
    assert len(clocks(cam=None, joints=None)) == 2


def test_a_clock_that_is_another_one_is_named():
    (problem,) = clocks(cam=NOW_NS - 2 * HOUR_NS, joints=NOW_NS)
    assert problem.startswith("topic cam: its header stamps are 2.0 h behind those of the other")
    (problem,) = clocks(cam=NOW_NS + 3 * HOUR_NS, joints=NOW_NS)
    assert "3.0 h ahead of those" in problem


def test_the_time_of_a_simulation_that_all_share_is_right_though_it_begins_at_zero():
    assert clocks(cam=0, joints=0, action=PERIOD_NS) == []


def test_of_a_simulation_the_topic_of_another_clock_is_named():
    (problem,) = clocks(cam=5 * HOUR_NS, joints=0, action=0)
    assert problem.startswith("topic cam: its header stamps are 5.0 h ahead")


def test_without_messages_nothing_is_wrong():
    assert HeaderClocks().problems() == []
