"""Correspondence of two heads' surfaces, by registration of their templates."""
