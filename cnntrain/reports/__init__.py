"""Reports: pages, tables, charts and pictures of runs, of their comparison and of sweeps."""
