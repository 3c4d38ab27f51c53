"""Tests of the product, laid out as the product is; what they share stands at the top."""
