"""The formulas, on values that can be computed by hand."""

import numpy as np
import pytest

from salus_ros.policies import definitions as d


def test_entropy_of_a_uniform_map_is_one_and_of_a_point_zero():
    assert d.attention_entropy(np.full((3, 4), 0.05)) == pytest.approx(1.0)
    point = np.zeros((3, 4))
    point[1, 2] = 0.7
    assert d.attention_entropy(point) == pytest.approx(0.0)


def test_entropy_of_two_of_four_tokens_is_one_half():
    assert d.attention_entropy(np.array([[0.2, 0.2], [0.0, 0.0]])) == pytest.approx(0.5)


def test_image_mass_is_the_share_on_images():
    attention = np.array([0.1, 0.2, 0.3, 0.4])
    image = d.image_attention_map(attention, [slice(0, 1), slice(1, 2)])
    assert image.shape == (2, 1)
    assert d.attention_image_mass(attention, image) == pytest.approx(0.3)


def test_camera_imbalance_is_zero_when_even_and_log_v_when_one_sided():
    assert d.attention_camera_imbalance(np.full((3, 4), 0.05)) == pytest.approx(0.0)
    one = np.zeros((3, 4))
    one[0] = 0.25
    assert d.attention_camera_imbalance(one) == pytest.approx(np.log(3))


def test_attention_shift_is_a_distance_from_zero_to_one():
    left, right = np.array([[0.5, 0.0]]), np.array([[0.0, 0.5]])
    assert d.attention_shift(left, left) == pytest.approx(0.0)
    assert d.attention_shift(left, right) == pytest.approx(1.0)
    assert np.isnan(d.attention_shift(left, None))


def test_sample_variance_is_the_unbiased_variance_over_samples():
    chunks = np.zeros((2, 4, 1))
    chunks[1, :2] = 2.0  # variance of {0, 2} is 2
    assert d.sample_variance(chunks, 2) == pytest.approx(2.0)
    assert np.isnan(d.sample_variance(chunks[:1], 2))


def test_spread_growth_is_the_log_ratio_of_rest_and_executed():
    chunks = np.zeros((2, 4, 1))
    chunks[1, :2], chunks[1, 2:] = 2.0, 4.0
    assert d.sample_spread_growth(chunks, 2) == pytest.approx(np.log(4.0))
    assert np.isnan(d.sample_spread_growth(chunks, 4))
    assert np.isnan(d.sample_spread_growth(np.zeros((2, 4, 1)), 2))


def test_inconsistency_compares_the_same_moments():
    previous = np.arange(4.0)[:, None]  # planned 0 1 2 3 for t = 0..3
    chunks = np.array([[[1.0], [2.0], [3.0], [9.0]]])  # planned at t = 1
    assert d.chunk_inconsistency(chunks, previous, 1) == pytest.approx(0.0)
    assert d.chunk_inconsistency(chunks + 0.5, previous, 1) == pytest.approx(0.25)
    assert np.isnan(d.chunk_inconsistency(chunks, previous, 4))
    assert np.isnan(d.chunk_inconsistency(chunks, None, 1))


def test_latent_signals():
    h = np.array([3.0, 4.0])
    assert d.latent_norm(h) == pytest.approx(5.0)
    assert d.latent_drift(h, 2 * h) == pytest.approx(0.0)
    assert d.latent_drift(h, -h) == pytest.approx(2.0)
    assert np.isnan(d.latent_drift(h, None))
    samples = np.array([[1.0, 0.0], [3.0, 0.0]])  # mean (2, 0), variance 2
    assert d.latent_dispersion(samples) == pytest.approx(0.5)
    assert np.isnan(d.latent_dispersion(samples[:1]))


def test_no_attention_on_images_is_not_a_number():
    nothing = np.zeros((3, 4))
    assert np.isnan(d.attention_entropy(nothing)) or d.attention_entropy(nothing) == 0.0
    assert np.isnan(d.attention_image_mass(np.zeros(3), nothing))
