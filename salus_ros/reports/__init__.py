"""The report on recorded episodes: numbers, figures, and one page that shows them."""

from salus_ros.reports.page import write_report

__all__ = ["write_report"]
