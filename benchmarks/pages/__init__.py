"""Digital PDFs with a known truth: headings by their own outline, tables as they were written."""
