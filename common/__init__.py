"""Errors, files and the console: what every other file may need.

These files import nothing of this project. Every other file may import them.
"""
