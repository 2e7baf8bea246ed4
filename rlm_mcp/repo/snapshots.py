"""Snapshots of the working tree."""
