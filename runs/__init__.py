"""One run: its flags, its inputs, its identity, the record that it leaves, what is kept for others.

These files may import `methods` and all above it. The scripts, `sweeps` and `reports` import them.
"""
