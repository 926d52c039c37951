"""What people see in a terminal: tables, progress, and what is kept from it."""
