"""NVIDIA's PhysX under the built-in world: a process of its own, in an environment of its own.

`engine.py` is what the world sees. `server.py` and `usd_scene.py` are run by the Python of that
environment, by their path: they import nothing of SALUS.
"""
