"""The report: one HTML file that opens offline. `page.render` makes it from a `contents.ReportInput`."""
