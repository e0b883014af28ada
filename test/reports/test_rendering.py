"""Pages by templates: whatever they are given is escaped, and a missing number is an error."""

import jinja2
import pytest
from synthetic_episodes import WITH_IMAGES, make_episode

from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.reports.pages.recordings import write_report
from salus_ros.reports.pages.rendering import interval, number, percent, three, write_page

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def test_hostile_text_of_a_store_is_shown_and_not_obeyed(tmp_path):
    path = tmp_path / "<i>a&b.zarr"
    texts = dict.fromkeys(("task", "fault", "condition", "policy_id", "model_id"), HOSTILE)
    with EpisodeStore.create(path, WITH_IMAGES) as store:
        store.append(make_episode(HOSTILE, 40, FailureType.DROP, WITH_IMAGES, **texts))
        store.append(make_episode("s", 40, spec=WITH_IMAGES, **texts | {"policy_id": "other"}))
    html = write_report(path, tmp_path / "report").read_text()
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "<i>a" not in html
    assert html.count("<img ") == html.count('<img src="data:image/png;base64,')
    shown = (
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&gt;&lt;img src=x onerror=alert(1)"
    )
    assert html.count(shown) >= 5  # in the head, the groups, the frames and the faults
    assert "{{ 7 * 7 }}" in html  # a value is no template
    assert "&lt;i&gt;a&amp;b.zarr" in html


def test_a_number_that_a_template_asks_for_and_nobody_gives_is_an_error(tmp_path):
    with pytest.raises(jinja2.UndefinedError, match="title"):
        write_page("page.html", tmp_path, [], {})


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(None), "-"),
        (number(12345), "12\u202f345"),
        (number(0.123456), "0.123"),
        (number(1234.5), "1234"),
        (number("text"), "text"),
        (percent(None), "-"),
        (percent(0.0), "0 %"),
        (percent(1.0), "100 %"),
        (percent(0.0004), "0.0 %"),
        (three(None), "-"),
        (three(0.12345), "0.123"),
        (interval({"low": None, "high": None}), "-"),
        (interval({"low": 0.1, "high": 0.25}), "10.0 to 25.0 %"),
    ],
)
def test_values_as_a_page_shows_them(shown, expected):
    assert shown == expected
