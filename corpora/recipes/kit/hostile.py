"""Recordings written byte by byte: what no decent sender sends."""

RECIPES = {}
