"""After a run: its network opened, judged, used and handed on."""
