"""Keeping a store: verified, mended, joined, handed on, tidied."""
