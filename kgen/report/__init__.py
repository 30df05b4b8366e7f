"""A run as one page, report.html: what was trained on what, how it went, what came out, what to type next."""

from kgen.report.report import to_html, write_report

__all__ = ["to_html", "write_report"]
