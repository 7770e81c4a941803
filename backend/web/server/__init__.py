"""Serve HTTP: the worker of gunicorn, what it buffers and what it logs."""
