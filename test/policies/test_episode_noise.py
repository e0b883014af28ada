"""Which noise an episode's plans are drawn with."""

from salus_ros.policies.noise import noise_seed


def test_an_episode_without_a_seed_has_noise_of_its_own():
    assert noise_seed(7, "a") == 7
    assert noise_seed(0, "a") == 0
    own = [noise_seed(-1, name) for name in ("2026-11-29T10-00-00", "2026-11-29T10-01-00", "")]
    assert len(set(own)) == 3
    assert min(own) >= 0
    assert own == [
        noise_seed(-1, name) for name in ("2026-11-29T10-00-00", "2026-11-29T10-01-00", "")
    ]
