import pickle

from salus_ros.core.errors import ObservationError
from salus_ros.messages.complaints import Complaints


def damaged(size):
    return ObservationError(f"{size} bytes are no whole picture", "no whole picture")


def test_many_messages_of_one_cause_give_one_line_with_the_count_and_an_example():
    complaints = Complaints()
    for size in range(300):
        complaints.add("front", damaged(size))
    assert complaints.lines() == [
        "front: 300 messages cannot be used: no whole picture; the first one: 0 bytes are no "
        "whole picture"
    ]
    assert complaints.count("front") == 300
    assert complaints.count("wrist") == 0


def test_streams_and_causes_are_told_apart_in_the_order_they_came():
    complaints = Complaints()
    complaints.add("front", damaged(7))
    complaints.add("state", ObservationError("it has no joint c"), 4)
    complaints.add("front", ObservationError("it is 8x8"))
    assert complaints.lines() == [
        "front: 1 message cannot be used: 7 bytes are no whole picture",
        "state: 4 messages cannot be used: it has no joint c",
        "front: 1 message cannot be used: it is 8x8",
    ]
    assert complaints.count("front") == 2


def test_an_error_keeps_its_cause_from_process_to_process():
    sent = pickle.loads(pickle.dumps(damaged(3)))
    assert (str(sent), sent.cause) == ("3 bytes are no whole picture", "no whole picture")
