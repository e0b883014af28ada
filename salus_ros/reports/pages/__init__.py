"""The pages of a report, each one HTML file that needs no other."""
