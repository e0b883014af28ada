"""Isaac Sim 6.2 under the built-in world: a process of its own, run by Isaac Sim's own Python.

The engine is that of PhysX (`worlds/physx/engine.py`) with `application.ISAAC` at the other end of
the pipe. Nothing here has been run with Isaac Sim: see docs/isaac.md for what has been checked.
"""
