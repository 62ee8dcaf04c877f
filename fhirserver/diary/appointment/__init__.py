"""Appointments: their slots, their states, the calendar of a citizen."""
