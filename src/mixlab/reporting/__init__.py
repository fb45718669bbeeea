"""Compare finished runs: statistics, tables, figures and the page. Nothing here needs torch."""
