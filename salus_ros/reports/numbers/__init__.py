"""The numbers of a report, as JSON values."""
