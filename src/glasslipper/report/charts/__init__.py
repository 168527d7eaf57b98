"""Charts as Vega-Lite specifications, one module for each form, and their drawing as SVG."""
