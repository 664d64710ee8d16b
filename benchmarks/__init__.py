"""Side-by-side runs against other libraries. Each module is a command: `python -m benchmarks.dpo`."""
