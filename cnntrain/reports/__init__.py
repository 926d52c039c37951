"""What came out: runs read back, compared, and drawn."""
