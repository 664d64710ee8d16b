"""prefnb: the small library behind the notebooks of a hands-on course in preference optimisation.

Nothing heavy is imported here: `import prefnb` is instant, and each module is imported where it is used.
"""

__version__ = "0.1.0"
