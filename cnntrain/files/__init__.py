"""Files: written whole, through no link, read with limits, locked; paths that people name."""
