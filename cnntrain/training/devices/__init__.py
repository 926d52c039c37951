"""What trains together: one device, several, or several machines."""
