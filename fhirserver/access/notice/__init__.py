"""Notices to the citizen that something happened in their space; never what."""
