"""Instruments: what looks at pictures. Each reads files that `python -m benchmarks.quality.set_up` brought, and fetches nothing."""
