"""`salus recover trial`: what it refuses, before anything is run."""

import pytest


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--arms", "dance"], "no recovery behaviour 'dance'"),
        (["--arms", "home@noon"], "'home@noon' is no arm"),
        (
            ["--arms", "policy", "--env-id", "salus/PickPlace-v0"],
            "needs the folder of a second policy",
        ),
        (["--env-id", "salus/Other-v0"], "unknown env_id"),
        (["--stuck-m", "0"], "the stuck rule"),
        (["--person-timeout-s", "0"], "person_timeout_s is 0"),
        ([], "cannot read the predictor"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_line(salus, tmp_path, options, reason):
    given = ["--model", tmp_path / "none", "--out", tmp_path / "a.json", *options]
    code, out, err = salus("recover", "trial", *given)
    assert code == 2
    assert reason in " ".join(err.split())
    assert not out
    assert not list(tmp_path.iterdir())


def test_it_says_what_it_takes(salus):
    code, out, _ = salus("recover", "trial", "--help")
    assert code == 0
    for word in ("--arms", "--alpha", "--stuck-steps", "salus recover trial --model"):
        assert word in out
