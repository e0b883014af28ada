import math

import numpy as np
import pytest
from checkpoints import save_checkpoint, save_default
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from salus_msgs.msg import EpisodeStatus, FailureHorizons, VlaSignals
from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.messages.signals import read_prediction, signals_array
from salus_ros.nodes import convert
from salus_ros.nodes.predictor import PredictorNode
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.stream import PredictorStream


class Listener:
    """A predictor, what it says, and a voice that plays the policy."""

    def __init__(self, graph, **parameters):
        self.graph = graph
        self.horizons = graph.listen(FailureHorizons, "failure_horizons")
        self.risk = graph.listen(Float32, "risk")
        self.diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
        self.node = graph.add(PredictorNode, device="cpu", **parameters)
        self.signals = graph.talk(VlaSignals, "signals")
        self.sent = 0

    def send(
        self,
        values=None,
        valid=None,
        *,
        episode="a",
        step=None,
        stamp_ns=None,
        embedding=(),
        hand_backs=0,
        policy_id="",
    ):
        self.sent += 1
        step = self.sent if step is None else step
        message = VlaSignals(
            episode_id=episode, step=step, hand_backs=hand_backs, policy_id=policy_id
        )
        stamp_ns = self.sent * 1_000_000 if stamp_ns is None else stamp_ns
        message.header = convert.header(stamp_ns, "camera")
        values = np.arange(12, dtype=np.float32) / 12 if values is None else np.float32(values)
        valid = np.ones(12, bool) if valid is None else np.asarray(valid)
        convert.fill_signals(message, values, valid)
        message.embedding = convert.float_array(np.asarray(embedding))
        self.signals.publish(message)
        return message

    def ask(self, **options):
        """Send signals and wait for the answer."""
        before = len(self.horizons)
        message = self.send(**options)
        self.graph.until(lambda: len(self.horizons) > before)
        return message, self.horizons[-1]

    def status(self, level, said):
        """Wait for a report of this level that says so."""
        name = f"{self.graph.namespace[1:]}/predictor"

        def found():
            statuses = [s for array in self.diagnostics for s in array.status if s.name == name]
            return [s for s in statuses if s.level == level and said in s.message]

        self.graph.until(found, said)
        return {value.key: value.value for value in found()[-1].values}

    def set(self, **values):
        """Set parameters from outside, as `ros2 param set` does."""
        request = SetParameters.Request()
        request.parameters = [Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]
        return self.graph.call(SetParameters, "predictor/set_parameters", request).results


def test_signals_are_answered_with_the_models_prediction(graph, tmp_path):
    path = save_checkpoint(tmp_path, threshold=0.9)
    listener = Listener(graph, model_path=path)
    sent, heard = listener.ask(step=7)
    values, valid = signals_array(sent)
    expected = PredictorStream(Predictor.load(path)).update(values, valid)
    assert heard.header == sent.header
    assert (heard.episode_id, heard.step) == ("a", 7)
    np.testing.assert_array_equal(np.reshape(heard.probability, (4, 4)), expected.probability[0])
    np.testing.assert_array_equal(heard.any_failure, expected.any_failure[0])
    assert heard.risk == expected.risk[0] == max(heard.any_failure)
    np.testing.assert_allclose(heard.horizons, [0.2, 0.3, 0.4, 0.5])
    assert list(heard.failure_types) == [1, 2, 3, 4]
    assert heard.threshold == pytest.approx(0.9)
    assert heard.most_likely_type == expected.most_likely_type[0]
    assert heard.time_to_failure == expected.time_to_failure_s[0]
    assert math.isnan(heard.episode_failure)  # the model has no such output
    assert math.isnan(heard.no_progress)
    assert heard.episode_threshold == math.inf
    assert heard.model_id == Predictor.load(path).model_id
    assert not heard.calibrated
    assert 0 < heard.latency_ms < 10_000
    graph.until(lambda: listener.risk)
    assert listener.risk[0].data == heard.risk


def test_of_another_policy_nothing_is_promised(graph, tmp_path):
    path = save_checkpoint(tmp_path)
    grid = ((1.0,) * 4,) * 4
    Calibration(
        Predictor.load(path).model_id, grid, grid, (1.0, 0.0), (), 0.1, 0.9, {0.1: 0.9},
        1.0, {0.1: 1.0}, 0.5, 20, (), (), policies=("arm-1",),
    ).save(path)  # fmt: skip
    listener = Listener(graph, model_path=path)
    assert listener.ask(policy_id="arm-1")[1].calibrated
    assert listener.status(DiagnosticStatus.OK, "predicting")["calibrated"] == "True"
    _, heard = listener.ask(policy_id="arm-2")
    assert not heard.calibrated
    assert heard.risk > 0  # it goes on
    said = listener.status(DiagnosticStatus.WARN, "the policy is arm-2")
    assert said["calibrated"] == "False"
    assert listener.ask(policy_id="arm-1")[1].calibrated
    listener.status(DiagnosticStatus.OK, "predicting")
    assert not listener.ask(policy_id="")[1].calibrated
    listener.status(DiagnosticStatus.WARN, "the policy is unnamed")


def test_types_and_what_is_said_of_the_whole_episode_are_the_models(graph, tmp_path):
    types = (FailureType.MISPLACED_RELEASE, FailureType.DROP, FailureType.COLLISION)
    path = save_default(tmp_path, 4, failure_types=types)
    listener = Listener(graph, model_path=path)
    embedding = np.linspace(-1, 1, 4).astype(np.float16)  # as a store keeps it
    sent, heard = listener.ask(step=0, embedding=embedding)
    values, valid = signals_array(sent)
    expected = Predictor.load(path).predict(values, valid, {"embedding": embedding[None]})
    assert list(heard.failure_types) == [5, 1, 2]
    np.testing.assert_allclose(
        np.reshape(heard.probability, (4, 3)), expected.probability[0], rtol=1e-5
    )
    assert heard.episode_failure == pytest.approx(expected.episode_failure[0], rel=1e-5)
    assert heard.no_progress == pytest.approx(expected.no_progress[0], rel=1e-5)
    assert 0 < heard.no_progress <= heard.episode_failure
    read = read_prediction(heard)
    assert read.failure_types == types
    said = listener.status(DiagnosticStatus.OK, "predicting")
    assert said["failure types"] == "misplaced_release, drop, collision"
    _, heard = listener.ask(step=1, valid=np.zeros(12, bool), embedding=embedding)
    assert math.isnan(heard.no_progress)  # nothing can be said


def test_every_signals_message_is_answered_in_order(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path))
    sent = [listener.send() for _ in range(30)]
    graph.until(lambda: len(listener.horizons) == 30)
    assert [m.header for m in listener.horizons] == [m.header for m in sent]


def test_the_file_itself_will_do(graph, tmp_path):
    path = save_checkpoint(tmp_path)
    listener = Listener(graph, model_path=f"{path}/best_predictor.pt")
    assert listener.ask()[1].model_id


def test_signals_that_are_not_there_are_no_risk_of_zero(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path))
    _, heard = listener.ask(valid=np.zeros(12, bool))
    assert math.isnan(heard.risk)
    assert all(math.isnan(p) for p in heard.probability)
    assert not heard.alarm


def test_without_a_model_nothing_is_made_up(graph):
    listener = Listener(graph)
    listener.send()
    listener.status(DiagnosticStatus.WARN, "no model is loaded")
    graph.until(lambda: listener.node._count == 1)
    assert listener.horizons == []
    assert listener.risk == []


@pytest.mark.parametrize("live", [False, True])
def test_the_alarm_has_a_threshold_and_a_hysteresis(graph, tmp_path, live):
    path = save_checkpoint(tmp_path)
    given = {} if live else {"threshold": 0.0, "hysteresis": 1.0}
    listener = Listener(graph, model_path=path, **given)
    if live:
        assert all(r.successful for r in listener.set(threshold=0.0, hysteresis=1.0))
    _, heard = listener.ask()
    assert heard.threshold == 0.0
    assert heard.alarm
    assert listener.set(threshold=1.0)[0].successful
    assert listener.ask()[1].alarm  # within the hysteresis
    assert not listener.ask(episode="b")[1].alarm  # a new episode starts without one


def test_a_jump_back_in_time_ends_an_alarm(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path), threshold=0.0, hysteresis=1.0)
    assert listener.ask(stamp_ns=10**9)[1].alarm
    listener.set(threshold=1.0)
    assert listener.ask(stamp_ns=3 * 10**9)[1].alarm
    listener.send(stamp_ns=10**8)  # one alone may be wrong
    assert not listener.ask(stamp_ns=2 * 10**8)[1].alarm


def test_a_model_without_a_threshold_never_alarms(graph, tmp_path):
    path = save_checkpoint(tmp_path, bias=8.0, threshold=math.nan)
    listener = Listener(graph, model_path=path, stale_s=60.0)
    _, heard = listener.ask()
    assert heard.risk > 0.99
    assert math.isnan(heard.threshold)
    assert not heard.alarm
    listener.status(DiagnosticStatus.WARN, "no alarm threshold")


def test_an_alarm_that_no_promise_allows_is_told(graph, tmp_path):
    path = save_checkpoint(tmp_path, bias=8.0, threshold=math.inf)
    listener = Listener(graph, model_path=path, stale_s=60.0)
    assert not listener.ask()[1].alarm
    listener.status(DiagnosticStatus.WARN, "no alarm is possible")
    listener.set(threshold=0.5)
    assert listener.ask()[1].alarm
    listener.status(DiagnosticStatus.OK, "predicting")


def test_another_model_while_it_runs(graph, tmp_path):
    low, high = save_checkpoint(tmp_path / "low", -4.0), save_checkpoint(tmp_path / "high", 4.0)
    listener = Listener(graph, model_path=low)
    assert listener.ask()[1].risk < 0.3
    assert listener.set(model_path=high)[0].successful
    _, heard = listener.ask()
    assert heard.risk > 0.9
    assert heard.model_id == Predictor.load(high).model_id


def test_a_first_model_while_it_runs(graph, tmp_path):
    listener = Listener(graph)
    assert listener.set(model_path=save_checkpoint(tmp_path))[0].successful
    assert listener.ask()[1].model_id


def test_a_bad_model_is_refused_and_the_old_one_stays(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path))
    model_id = listener.ask()[1].model_id
    (tmp_path / "bad.pt").write_bytes(b"no model")
    for path, said in ((str(tmp_path / "bad.pt"), "is not a predictor"), ("/nowhere", "No such")):
        (result,) = listener.set(model_path=path)
        assert not result.successful
        assert said in result.reason
    assert listener.ask()[1].model_id == model_id
    assert listener.node.get_parameter("model_path").value == str(tmp_path)


def test_a_model_of_other_signals_is_refused(graph, tmp_path):
    path = save_checkpoint(tmp_path, names=("a", "b"))
    with pytest.raises(CheckpointError, match=r"takes the signals \['a', 'b'\]; live there are"):
        graph.add(PredictorNode, model_path=path)


def test_a_path_that_is_no_model_is_one_clear_error(graph):
    with pytest.raises(CheckpointError, match="cannot read the predictor '/nowhere'"):
        graph.add(PredictorNode, model_path="/nowhere")


def test_a_device_that_is_not_there_is_one_clear_error(graph, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="device 'cuda' is not there"):
        graph.add(PredictorNode, model_path=save_checkpoint(tmp_path), device="cuda")


def test_diagnostics_say_how_it_is(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path), stale_s=60.0)
    listener.ask(step=1)
    listener.ask(step=2)
    listener.ask(step=5)
    values = listener.status(DiagnosticStatus.OK, "predicting, uncalibrated")
    assert values["steps missed"] == "3"
    assert (values["faulty messages"], values["signals late"]) == ("0", "0")
    assert values["model"] == Predictor.load(tmp_path).model_id
    assert values["calibrated"] == "False"
    assert float(values["latency_ms"]) > 0


def test_silence_is_stale_while_an_episode_runs_and_fine_otherwise(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path), stale_s=0.1)
    listener.status(DiagnosticStatus.STALE, "no signals yet")
    episode = graph.talk(EpisodeStatus, "episode", status=True)
    episode.publish(EpisodeStatus(phase=EpisodeStatus.PHASE_RUNNING))
    listener.ask()
    listener.status(DiagnosticStatus.STALE, "is a vla node running?")
    episode.publish(EpisodeStatus(phase=EpisodeStatus.PHASE_FINISHED))
    listener.status(DiagnosticStatus.OK, "no episode is running")


# The default model, which remembers

D = 8
RNG = np.random.default_rng(0)
SIGNALS = np.repeat(RNG.normal(size=(30, 12)), 3, axis=0).astype(np.float32)
EMBEDDING = np.repeat(RNG.normal(size=(30, D)), 3, axis=0).astype(np.float16)
PERIOD_NS = 33_333_333


class Policy(Listener):
    """A predictor of the default kind, and the signals of an episode of 90 steps."""

    def __init__(self, graph, tmp_path, path=None, **parameters):
        self.path = path or save_default(tmp_path, D, threshold=0.999999)
        super().__init__(graph, model_path=self.path, stale_s=60.0, **parameters)

    def joints_until(self, step):
        """Whether the node has the joints of a step, which may be those of the one before."""
        found = self.node._joints._stream.newest_ns
        return found >= (step + (step != 2)) * PERIOD_NS

    def give(self, step, *, episode="a", at_ns=0, **changes):
        """Send a step of the episode, as it is or changed."""
        given = {"values": SIGNALS[step], "embedding": EMBEDDING[step], **changes}
        stamp_ns = at_ns + (step + 1) * PERIOD_NS
        return self.send(episode=episode, step=step, **({"stamp_ns": stamp_ns} | given))

    def take(self, step, **changes):
        """Send it and wait for the answer."""
        before = len(self.horizons)
        self.give(step, **changes)
        self.graph.until(lambda: len(self.horizons) > before)
        return self.horizons[-1]

    def wait(self, signals):
        """Wait until the node has taken in so many messages, and what it said of them is here."""
        self.graph.until(lambda: self.node._count == signals)
        step = self.node._message.step
        self.graph.until(lambda: self.horizons and self.horizons[-1].step == step)

    @property
    def figures(self):
        """What the node counts."""
        return self.node._report().values

    def offline(self, without=()):
        """What the model says offline at every step, where some have no signals."""
        valid = np.ones(SIGNALS.shape, bool)
        valid[list(without)] = False
        embedding = EMBEDDING.copy()
        embedding[list(without)] = np.nan
        return Predictor.load(self.path).predict(SIGNALS, valid, {"embedding": embedding})


def agrees(heard, offline, steps):
    assert [one.step for one in heard] == list(steps)
    for one in heard:
        np.testing.assert_allclose(
            np.reshape(one.probability, (4, 4)), offline.probability[one.step], atol=1e-5
        )
        assert one.risk == pytest.approx(offline.risk[one.step], abs=1e-5)


def test_live_agrees_with_offline_through_all_that_a_network_does(graph, tmp_path):
    """Repeated, swapped, lost and late messages, more steps than the model remembers."""
    policy = Policy(graph, tmp_path)
    lost = {20, 21, 22, 41}
    swapped = {50: 51, 51: 50}
    sent = 0
    for step in range(90):
        if step in lost:
            continue
        policy.give(swapped.get(step, step))
        sent += 1
        for _ in range(step % 3 == 1):
            policy.give(swapped.get(step, step))
            sent += 1
        policy.wait(sent)
    said = {one.step: one for one in policy.horizons}
    agrees(said.values(), policy.offline({*lost, 50}), sorted(said))
    assert sorted(said) == sorted(set(range(90)) - lost - {50})
    for one in policy.horizons:
        assert repr(one) == repr(said[one.step])  # the same answer again, to the bit
    assert policy.figures["steps missed"] == len(lost) + 1
    assert policy.figures["signals late"] == 1


def test_an_episode_that_is_run_again_under_its_name_starts_over(graph, tmp_path):
    policy = Policy(graph, tmp_path)
    for at_ns in (0, 10**10):
        for step in range(5):
            policy.take(step, at_ns=at_ns)
    for step in range(5):  # at stamps that were there before, as of a world that was restarted
        policy.take(step, at_ns=10**10)
    agrees(policy.horizons, policy.offline(), [*range(5)] * 3)


def test_a_policy_that_is_given_the_arm_back_has_no_past(graph, tmp_path):
    """The same step answered anew, or a later one: as at the start of an episode."""
    path = save_default(tmp_path, 4)
    listener, alone = Listener(graph, model_path=path), Predictor.load(path)
    for step in range(3):
        listener.ask(step=step, embedding=np.full(4, step))
    for hand_backs, step in ((1, 2), (2, 9)):
        given = {"step": step, "stamp_ns": (step + 1) * 1_000_000, "embedding": np.ones(4)}
        sent, heard = listener.ask(**given, hand_backs=hand_backs)
        values, valid = signals_array(sent)
        expected = PredictorStream(alone).update(values, valid, {"embedding": np.ones(4)}, step)
        assert heard.risk == pytest.approx(float(expected.risk[0]), rel=1e-5)
    assert listener.node._progress.refused == 0


def test_a_clock_that_jumps_back_starts_over_and_no_step_is_lost(graph, tmp_path):
    policy = Policy(graph, tmp_path)
    for step in range(3):
        policy.take(step, at_ns=10**11)
    for step in range(3, 8):
        policy.give(step)
    policy.wait(8)
    agrees(policy.horizons[:3], policy.offline(), range(3))
    agrees(policy.horizons[3:], policy.offline(range(3)), range(3, 8))


def test_one_wrong_stamp_is_not_answered_and_harms_nothing(graph, tmp_path):
    policy = Policy(graph, tmp_path)
    for step in range(6):
        policy.give(step, **({"stamp_ns": 10**15} if step == 3 else {}))
    policy.wait(6)
    agrees(policy.horizons, policy.offline({3}), [0, 1, 2, 4, 5])
    assert policy.figures["signals with a wrong stamp"] == 1


NAN, INF, LARGE = math.nan, math.inf, 3e38
BLIND = {
    "one infinite": ({"values": [0.1] * 11 + [INF]}, "latent_ood are marked valid"),
    "all nan": ({"values": [NAN] * 12}, "are marked valid and are not finite"),
    "too large": ({"values": [LARGE] * 12}, "no finite answer"),
    "embedding of another policy": ({"embedding": [0.1] * 5}, "the embedding has 5 values"),
    "a large one": ({"embedding": [0.1] * 1_000_000}, "the embedding has 1000000 values"),
    "embedding too large": ({"embedding": [LARGE] * D}, "float16"),
}


@pytest.mark.parametrize("case", BLIND)
def test_what_cannot_be_judged_never_reads_as_safe(graph, tmp_path, case):
    changes, said = BLIND[case]
    policy = Policy(graph, tmp_path, hysteresis=0.0)
    assert not policy.take(0).alarm
    heard = policy.take(1, **changes)
    assert (heard.step, heard.episode_id) == (1, "a")
    assert all(map(math.isnan, (heard.risk, heard.episode_failure, heard.time_to_failure)))
    assert all(map(math.isnan, (*heard.probability, *heard.any_failure)))
    assert (len(heard.probability), len(heard.any_failure)) == (16, 4)
    assert heard.most_likely_type == 0
    assert heard.alarm
    policy.status(DiagnosticStatus.ERROR, said)
    assert repr(policy.take(1, **changes)) == repr(heard)  # repeated
    after = policy.take(2)
    assert 0 <= after.risk <= 1
    assert not after.alarm
    assert policy.figures["steps that could not be judged"] == 1
    assert policy.figures["faulty messages"] == 1
    policy.graph.until(lambda: policy.node._report().level == DiagnosticStatus.OK)


def test_blindness_may_leave_the_alarm_as_it_was(graph, tmp_path):
    policy = Policy(graph, tmp_path, alarm_when_blind=False)
    policy.take(0)
    assert not policy.take(1, values=[NAN] * 12).alarm
    policy.set(threshold=0.0, alarm_when_blind=False)
    assert policy.take(2).alarm
    assert policy.take(3, values=[NAN] * 12).alarm
    assert policy.set(alarm_when_blind=True)[0].successful


def test_blind_in_a_model_without_a_threshold_is_an_alarm_too(graph, tmp_path):
    listener = Listener(graph, model_path=save_checkpoint(tmp_path, threshold=math.nan))
    assert not listener.ask()[1].alarm
    assert listener.ask(values=[NAN] * 12)[1].alarm


def test_nothing_known_yet_is_no_alarm(graph, tmp_path):
    policy = Policy(graph, tmp_path)
    heard = policy.take(0, valid=np.zeros(12, bool))
    assert math.isnan(heard.risk)
    assert not heard.alarm
    assert policy.node._problem.count == 0


def test_the_parameter_that_would_publish_a_missing_input_is_named(graph, tmp_path):
    path = save_default(tmp_path, D, threshold=0.999999, parts={"visual": ("front", "wrist")})
    policy = Policy(graph, tmp_path, path=path)
    policy.take(0)
    policy.status(DiagnosticStatus.ERROR, "set publish_visual_embedding of the vla node")


JOINT_KEYS = ("position elbow", "position finger", "effort finger")


def joint_state(step, **changes):
    """What a driver says of the joints at a step; the elbow has no effort sensor."""
    message = JointState(name=["elbow", "other", "finger"], position=[0.1 * step, 0.0, 0.02])
    message.effort = [math.nan, 0.0, -0.2 * step]
    message.header.stamp = convert.to_stamp((step + 1) * PERIOD_NS)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_joints_are_read_as_of_the_step(graph, tmp_path):
    path = save_default(tmp_path, D, threshold=0.999999, parts={"joints": JOINT_KEYS})
    policy = Policy(graph, tmp_path, path=path)
    joints = graph.talk(JointState, "joint_states")
    policy.graph.until(lambda: joints.get_subscription_count() == 1)
    given = np.full((6, 3), np.nan, np.float32)
    for step in range(6):
        if step == 2:  # nothing new: the last one is as old as a period
            given[step] = given[1]
        else:
            joints.publish(joint_state(step))
            given[step] = [0.1 * step, 0.02, -0.2 * step]
        policy.graph.until(lambda at=step: policy.joints_until(at))
        policy.take(step)
    extras = {"embedding": EMBEDDING[:6], "joints": given}
    agrees(policy.horizons, Predictor.load(path).predict(SIGNALS[:6], None, extras), range(6))
    policy.status(DiagnosticStatus.OK, "predicting")
    joints.publish(joint_state(6, effort=[1.0]))
    policy.status(DiagnosticStatus.ERROR, "joint_states: it has 3 names and 1 values of effort")
    policy.take(30)  # a second later
    policy.status(DiagnosticStatus.ERROR, "there is no joints, which the model reads")
    (tmp_path / "other").mkdir()
    policy.set(model_path=save_default(tmp_path / "other", D))
    policy.graph.until(lambda: joints.get_subscription_count() == 0)


@pytest.mark.parametrize(
    ("embedding", "said"),
    [((), "there is no embedding"), ([math.nan] * D, "embedding with values that are not finite")],
)
def test_an_embedding_that_is_missing_is_told_and_the_signals_are_judged(
    graph, tmp_path, embedding, said
):
    policy = Policy(graph, tmp_path)
    policy.take(0)
    heard = policy.take(1, embedding=embedding)
    gone = EMBEDDING.copy()
    gone[1] = np.nan
    agrees([heard], Predictor.load(policy.path).predict(SIGNALS, None, {"embedding": gone}), [1])
    policy.status(DiagnosticStatus.ERROR, said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"episode": "x" * 10_000_000}, "an episode id of 10000000 characters"),
        ({"step": 2**32 - 1}, "step 4294967295 is refused"),
        ({"stamp_ns": -(10**9)}, "its stamp is -1 s"),
    ],
)
def test_a_message_of_no_step_is_refused_and_the_episode_goes_on(graph, tmp_path, changes, said):
    policy = Policy(graph, tmp_path)
    policy.take(0)
    policy.take(1)
    policy.send(**{"episode": "a", "step": 2, "stamp_ns": 3 * PERIOD_NS} | changes)
    policy.status(DiagnosticStatus.ERROR, said)
    policy.take(2)
    agrees(policy.horizons, policy.offline(), range(3))


def test_a_flood_is_outlived_and_what_it_cost_is_counted(graph, tmp_path):
    policy = Policy(graph, tmp_path)
    policy.take(0)
    for step in range(3000):
        policy.send(episode="flood", step=step, stamp_ns=(step + 1) * PERIOD_NS)
    policy.graph.until(lambda: policy.horizons[-1].step == 2999)
    answered = len(policy.horizons) - 1
    assert 0 < answered <= 3000
    assert policy.figures["steps missed"] == 3000 - answered
    policy.take(1, episode="b")
