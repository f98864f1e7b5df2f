"""Primitives behind one seam, `suite.CryptoSuite`; which suite is in force is written in genesis."""
