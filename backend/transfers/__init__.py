"""Transfers: stock on its way from one ward to another."""
